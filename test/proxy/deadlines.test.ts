import t from 'tap';
import { field } from '../helpers/message.ts';
import { NodeProcess } from '../helpers/process.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { countedDuring, settledCounts, versionState } from './counts.ts';

/** Listens, has room for few connections to wait, and takes none: a dial to it gets no answer at all. */
const DEAF = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
  require('fs').writeSync(1, this.address().port + '\\n');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
})`;

const backend = await RawUpstream.start(t);
const deaf = new NodeProcess(['-e', DEAF]);
t.teardown(() => deaf.stop('SIGKILL'));
const deafPort = Number(await eventually('the deaf backend listens', () => deaf.stdout.trim()));
const waiting = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(deafPort, { deadline: 300 }).catch(() => null)));
if (!waiting.includes(null)) throw new Error('the deaf backend still takes connections');
t.teardown(() => waiting.forEach((connection) => connection?.destroy()));

const quick = { health: { kind: 'none' }, retries: { attempts: 0 }, timeouts: { dial: '20s', head: '1500ms', idle: '2s' } };
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  timeouts: { clientHead: '2s', keepAlive: '4s', body: '2s' },
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', quick),
    deaf: catchAll({ v1: [`127.0.0.1:${deafPort}`] }, 'v1', { ...quick, timeouts: { dial: '300ms' }, routes: [{ path: '/deaf' }] }),
  },
});
const { port } = proxy;

/** What the proxy says by itself: status, reason, and whether the connection ends with it. */
async function said(client: RawClient, method = 'GET'): Promise<[number, string | undefined, string | null]> {
  const response = await client.response(method);
  return [response.status, /details="(.*)"/.exec(field(response, 'proxy-status') ?? '')?.[1], field(response, 'connection')];
}

/** Milliseconds that `run` takes. */
async function taken(run: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await run();
  return performance.now() - before;
}

t.test('deadlines of the client', async (t) => {
  t.jobs = 8;
  backend.use(answer('ok'));
  let cut = 2;
  await Promise.all([
    t.test('a head that does not come', async (t) => {
      using client = await RawClient.connect(port);
      t.equal(await client.closed(), 'end');
      t.equal(client.total, 0, 'there is nobody to answer');
    }),
    t.test('half a head', async (t) => {
      using client = await RawClient.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: a\r\n');
      t.strictSame(await said(client), [408, 'head-timeout', 'close']);
      t.equal(await client.closed(), 'end');
    }),
    t.test('a head that comes byte by byte does not get longer', async (t) => {
      using client = await RawClient.connect(port);
      let dripping = true;
      const dripped = (async () => {
        client.write('GET / HTTP/1.1\r\nX: ');
        while (dripping) {
          client.write('x');
          await sleep(100);
        }
      })();
      t.strictSame(await said(client), [408, 'head-timeout', 'close']);
      dripping = false;
      await dripped;
    }),
    t.test('half of the next head', async (t) => {
      using client = await RawClient.connect(port);
      t.equal((await client.request()).status, 200);
      client.write('GET / HT');
      t.strictSame(await said(client), [408, 'head-timeout', 'close']);
    }),
    t.test('an idle connection', async (t) => {
      using client = await RawClient.connect(port);
      t.equal((await client.request()).status, 200);
      const waited = await taken(() => client.closed());
      t.ok(waited > 2_200, `closed after ${Math.round(waited)} ms, not by the deadline of a head`);
      t.equal(client.ending, 'end');
      t.equal(client.pending.length, 0);
    }),
    t.test('a body that stops', async (t) => {
      const stopping = async (request: RequestSpec): Promise<void> => {
        using client = await RawClient.connect(port);
        client.write(requestBytes({ method: 'POST', ...request }));
        t.strictSame(await said(client), [408, 'body-timeout', 'close']);
        t.equal(await client.closed(), 'end');
      };
      await Promise.all([
        stopping({ fields: [['Content-Length', '10']], body: 'half' }),
        stopping({ fields: [['Transfer-Encoding', 'chunked']], body: 'a\r\nhalf' }),
      ]);
    }),
    t.test('a body that goes on has all the time it needs', async (t) => {
      const dripped = async (): Promise<number> => {
        using client = await RawClient.connect(port);
        client.write(requestBytes({ method: 'POST', fields: [['Content-Length', '8']] }));
        for (let i = 0; i < 8; i++) {
          client.write('x');
          await sleep(300);
        }
        const { status } = await client.response('POST');
        if (status === 408) cut++;
        return status;
      };
      t.equal(await undisturbed(1_000, dripped, (status) => status === 200), 200);
    }),
  ]);
  t.match(await settledCounts(proxy), { clientAborted: cut, upstreamFailed: 0 });
});

t.test('deadlines of the backend', async (t) => {
  t.jobs = 8;
  await Promise.all([
    t.test('an answer that does not come', async (t) => {
      backend.use(async (request, connection) => {
        if (request.target === '/silent') await connection.closed(60_000);
        else if (request.target === '/stops') {
          connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
          await connection.closed(60_000);
        } else if (request.target === '/half-head') {
          connection.write('HTTP/1.1 200 OK\r\nConte');
          await connection.closed(60_000);
        } else {
          connection.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n');
          for (let i = 0; i < 6; i++) {
            await sleep(400);
            connection.write('x');
          }
        }
      });
      const slowly = { asked: 0, whole: 0 };
      const counts = await countedDuring(proxy, async () => {
        const slow = undisturbed(1_000, async () => {
          slowly.asked++;
          const { body } = await proxy.send({ target: '/slow' });
          slowly.whole++;
          return body.toString();
        });
        using client = await RawClient.connect(port);
        for (const target of ['/silent', '/half-head']) {
          client.write(requestBytes({ target }));
          t.strictSame(await said(client), [504, 'response-timeout', null], target);
        }
        client.write(requestBytes({ target: '/stops' }));
        const all = (await client.takeAll()).toString('latin1');
        t.ok(all.endsWith('\r\n\r\nhalf'), 'a body that stops is cut');
        t.equal(await slow, 'xxxxxx', 'one that goes on has all the time it needs');
      });
      t.match(counts, { started: 3 + slowly.asked, completed: slowly.whole, upstreamFailed: 3 + slowly.asked - slowly.whole });
    }),
    t.test('a connection that is not made', async (t) => {
      using client = await RawClient.connect(port);
      client.write(requestBytes({ target: '/deaf' }));
      t.strictSame(await said(client), [504, 'dial-timeout', null]);
      t.match(await settledCounts(proxy, 'deaf'), { started: 1, upstreamFailed: 1 });
    }),
  ]);
  await eventually('no connection is kept that was given up', async () => (await versionState(proxy, 'deaf')).backends[0].openSockets === 0);
});
