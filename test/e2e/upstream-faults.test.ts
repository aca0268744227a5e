import t from 'tap';
import { readFile } from 'node:fs/promises';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, responseBytes } from '../helpers/raw_upstream.ts';
import type { Script, SeenRequest, UpstreamConnection } from '../helpers/raw_upstream.ts';
import { whileStopped } from '../helpers/still.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { countedDuring, versionState } from '../proxy/counts.ts';

const MIB = 1_048_576;
/** Sooner than a connection that was given back would be closed for being idle: see KEPT. */
const SOON = 20_000;
/** With this the proxy keeps it for a minute. */
const KEPT: readonly (readonly [string, string])[] = [['Keep-Alive', 'timeout=100']];
const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      outlier: { failures: 0 },
      retries: { attempts: 1 },
      timeouts: { head: '1500ms', idle: '1500ms' },
    }),
  },
});

/** The reason that the access log gives for the request of this target. */
async function logged(target: string): Promise<unknown> {
  const line = await eventually(`the log line of ${target}`, () => proxy.output.split('\n').find((text) => text.includes(`"target":"${target}"`)));
  return (JSON.parse(line) as { reason: unknown }).reason;
}

/** The last request to a target that nothing else asks for, once it is with the backend. */
function requestTo(target: string): Promise<SeenRequest> {
  return eventually(`a request to ${target}`, () => backend.requests.findLast((request) => request.target === target), SOON);
}

async function failures(reason: string): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  const line = text.split('\n').find((series) => series.startsWith('switchyard_upstream_failures_total{') && series.includes(`reason="${reason}"`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n';
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

/** So that what was written goes out before the reset, which would overtake it. */
async function thenReset(connection: UpstreamConnection, bytes: string): Promise<'taken'> {
  connection.write(bytes);
  await sleep(30);
  connection.reset();
  return 'taken';
}

/** What a backend does, the status the client gets (200 = a cut answer), and the reason in the log and the metric. */
const faults: readonly (readonly [string, Script, number, string])[] = [
  ['resets instead of an answer', (_, connection) => thenReset(connection, ''), 502, 'reset'],
  ['resets in its head', (_, connection) => thenReset(connection, HEAD.slice(0, 30)), 502, 'reset'],
  ['ends in its head', (_, connection) => (connection.write(HEAD.slice(0, 30)), connection.end(), 'taken'), 502, 'reset'],
  ['resets in its body', (_, connection) => thenReset(connection, `${HEAD}01234`), 200, 'truncated'],
  ['says more than it sends', (_, connection) => (connection.write(`${HEAD}01234`), connection.end(), 'taken'), 200, 'truncated'],
  ['ends without a last chunk', (_, connection) => (connection.write(`${CHUNKED}5\r\n01234\r\n`), connection.end(), 'taken'), 200, 'truncated'],
  [
    'sends a bad chunk',
    async (_, connection) => {
      connection.write(`${CHUNKED}5\r\n01234\r\n`);
      await sleep(30);
      connection.write('x\r\n');
      return 'taken';
    },
    200,
    'bad-response',
  ],
  ['never answers', () => 'taken', 504, 'response-timeout'],
  ['stalls in its head', (_, connection) => (connection.write(HEAD.slice(0, 30)), 'taken'), 504, 'response-timeout'],
  ['stalls in its body', (_, connection) => (connection.write(`${HEAD}01234`), 'taken'), 200, 'body-idle'],
  [
    'sends two lengths',
    (_, connection) => (connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\n01234'), 'taken'),
    502,
    'bad-response',
  ],
  ['floods with 1xx', (_, connection) => (connection.write(`HTTP/1.1 100 Continue\r\n\r\n`.repeat(20) + HEAD), 'taken'), 502, 'bad-response'],
  ['is no HTTP', (_, connection) => (connection.write('SSH-2.0-OpenSSH_9.2\r\n'), 'taken'), 502, 'bad-response'],
];

for (const [what, script, status, reason] of faults) {
  t.test(`a backend that ${what}`, async (t) => {
    const target = `/${what.replaceAll(' ', '-')}`;
    const before = await failures(reason);
    backend.use(script);
    using client = await RawClient.connect(proxy.port);
    const seen = requestTo(target);
    const counts = await countedDuring(proxy, async () => {
      client.write(requestBytes({ method: 'POST', target, body: 'x' }));
      if (status === 200) {
        const all = (await client.takeAll()).toString('latin1');
        t.match(all, /^HTTP\/1\.1 200 [^]*01234(\r\n)?$/, 'what there was');
        t.notMatch(all, /\r\n0\r\n/, 'and no end');
      } else t.match(await client.response(), { status, head: new RegExp(`details="${reason}"|${reason}`) });
    });
    t.match(counts, { started: 1, upstreamFailed: 1 });
    t.not(await (await seen).connection.closed(SOON), 'open');
    t.equal(await logged(target), reason);
    t.equal(await failures(reason), before + 1);
  });
}

t.test('an answer longer than it says, or two of them: no more than the first is passed on, and the connection is gone', async (t) => {
  for (const [i, surplus] of ['surplus', responseBytes(200, 'a second answer').toString('latin1')].entries()) {
    backend.use((_, connection) => connection.write(responseBytes(200, 'mine', KEPT).toString('latin1') + surplus));
    using client = await RawClient.connect(proxy.port);
    const target = `/surplus-${i}`;
    t.equal((await client.request({ target })).body.toString(), 'mine');
    t.not(await (await requestTo(target)).connection.closed(SOON), 'open');
    backend.use((_, connection) => connection.respond(200, 'yours'));
    t.equal((await client.request()).body.toString(), 'yours');
  }
});

t.test('bytes that come 40 ms later, on an idle connection, end it and reach nobody', async (t) => {
  using one = await RawClient.connect(proxy.port);
  using other = await RawClient.connect(proxy.port);
  for (let round = 0; round < 10; round++) {
    const target = `/one-${round}`;
    backend.use((_, connection) => connection.respond(200, `one ${round}`, KEPT));
    t.equal((await one.request({ target })).body.toString(), `one ${round}`);
    const { connection } = await requestTo(target);
    await sleep(40);
    connection.write(responseBytes(200, 'poison'));
    t.not(await connection.closed(SOON), 'open');
    backend.use((_, next) => next.respond(200, `other ${round}`));
    t.equal((await other.request()).body.toString(), `other ${round}`);
  }
});

/** Has both be there when the proxy looks next, the request first. */
function atOnce(client: RawClient, request: Buffer, connection: UpstreamConnection): Promise<void> {
  return whileStopped(proxy.process.pid, async () => {
    client.write(request);
    await sleep(20);
    connection.write(responseBytes(200, 'poison'));
    await sleep(20);
  });
}

t.test('bytes that are found together with the next request do not answer it', async (t) => {
  for (const [method, expected] of [
    ['GET', 200],
    ['POST', 502],
  ] as const) {
    using client = await RawClient.connect(proxy.port);
    const target = `/first-${method}`;
    backend.use((_, connection) => connection.respond(200, 'first', KEPT));
    t.equal((await client.request({ target })).body.toString(), 'first');
    const { connection } = await requestTo(target);
    backend.use((_, next) => (next === connection ? 'taken' : next.respond(200, 'second')));
    await eventually('one idle connection', async () => (await versionState(proxy)).backends[0].openSockets === 1);
    await atOnce(client, requestBytes({ method, body: method === 'GET' ? undefined : 'x' }), connection);
    const { status, body } = await client.response();
    t.equal(status, expected);
    t.notMatch(body.toString(), 'poison');
    if (expected === 200) t.equal(body.toString(), 'second', 'tried again on another connection');
    t.not(await connection.closed(SOON), 'open');
  }
});

async function residentBytes(): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${proxy.process.pid}/status`, 'latin1'))?.[1]) * 1024;
}

t.test('a head of a gigabyte is refused after 64 KiB', async (t) => {
  const before = await residentBytes();
  let written = 0;
  const line = Buffer.from(`X-Endless: ${'e'.repeat(65_522)}\r\n`);
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\n');
    while (written < 1024 * MIB && connection.ending === 'open' && !connection.socket.destroyed) {
      written += line.length;
      if (!connection.socket.write(line)) {
        await Promise.race([new Promise((resolve) => connection.socket.once('drain', resolve)), connection.closed(60_000)]);
      }
    }
    return 'taken';
  });
  const failed = await failures('bad-response');
  const response = await proxy.send({ target: '/gigabyte' });
  t.equal(response.status, 502);
  t.equal(await logged('/gigabyte'), 'bad-response');
  t.equal(await failures('bad-response'), failed + 1);
  // What it could write went into the buffers of the kernel.
  t.ok(written < 32 * MIB, `${Math.round(written / MIB)} MiB written until it was hung up on`);
  const grown = (await residentBytes()) - before;
  t.ok(grown < 16 * MIB, `${Math.round(grown / 1024)} KiB more in memory`);
});

t.test('a head of a gigabyte in small lines, a thousand times a thousand', async (t) => {
  let sent = 0;
  const lines = Buffer.from('X-Small: value\r\n'.repeat(200));
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\n');
    while (connection.ending === 'open' && !connection.socket.destroyed) {
      sent += lines.length;
      if (!connection.socket.write(lines)) await Promise.race([new Promise((resolve) => connection.socket.once('drain', resolve)), connection.closed(60_000)]);
      await sleep(1);
    }
    return 'taken';
  });
  t.equal((await proxy.send({ target: '/lines' })).status, 502);
  t.equal(await logged('/lines'), 'bad-response');
  await eventually('the hang-up', () => backend.open === 0);
  // As above: the buffers of the kernel, should the proxy not get its turn for a while.
  t.ok(sent < 32 * MIB, `${sent} bytes until it was hung up on`);
});
