import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { Script, SeenRequest } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { countedDuring, settledCounts, upstreamState, versionState } from './counts.ts';

/** A backend must see within this many ms that its client is gone: long before any deadline of the proxy. */
const SOON = 15_000;

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  accessLog: 'full',
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }),
    closed: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ path: '/held' }] }),
  },
});

const silent: Script = async (_, connection) => {
  await connection.closed(60_000);
};
const halfway: Script = async (_, connection) => {
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf');
  await connection.closed(60_000);
};
const streaming: Script = async (_, connection) => {
  connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n');
  await connection.closed(60_000);
};

type Bytes = (target: string) => Buffer;
const plain: Bytes = (target) => requestBytes({ target });
const upload: Bytes = (target) => requestBytes({ method: 'POST', target, fields: [['Content-Length', '1000']], body: 'half' });
const chunked: Bytes = (target) => requestBytes({ method: 'POST', target, fields: [['Transfer-Encoding', 'chunked']], body: '4\r\nhalf\r\n' });
const several: Bytes = (target) => Buffer.concat([plain(target), plain(target), plain(target)]);

/** Where the request is when its client goes; what is sent; what the backend does; what the client waits for. */
const moments: readonly (readonly [string, Bytes, Script, string])[] = [
  ['before the answer', plain, silent, ''],
  ['in the middle of the answer', plain, halfway, 'half'],
  ['in the middle of a stream of events', plain, streaming, 'data: 1'],
  ['in the middle of a request of known length', upload, silent, ''],
  ['in the middle of a chunked request', chunked, silent, ''],
  ['with the next requests sent already', several, silent, ''],
];

const ways: readonly (readonly [string, (client: RawClient) => void])[] = [
  ['closes', (client) => client.destroy()],
  ['resets', (client) => client.reset()],
  ['ends its side', (client) => client.end()],
];

for (const [moment, bytes, script, awaited] of moments) {
  t.test(`a client that goes ${moment}`, async (t) => {
    for (const [way, leave] of ways) {
      const target = `/${moment}/${way}`.replaceAll(' ', '-');
      backend.use(script, target);
      const counts = await countedDuring(proxy, async () => {
        using client = await RawClient.connect(proxy.port);
        client.write(bytes(target));
        const request: SeenRequest = await backend.requestTo(target);
        if (awaited !== '') await client.takeUntil(awaited);
        leave(client);
        const ending = await request.connection.closed(SOON);
        t.not(ending, 'open', `${way}: the backend sees it`);
      });
      t.strictSame(counts, { started: 1, completed: 0, clientAborted: 1, upstreamFailed: 0, killed: 0 }, way);
      t.equal(backend.requestsTo(target).length, 1, `${way}: nothing more is sent for it`);
    }
  });
}

t.test('a crowd that goes at once leaves nothing behind', async (t) => {
  backend.use(silent, '/crowd');
  const counts = await countedDuring(proxy, async () => {
    const crowd = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(proxy.port)));
    for (const client of crowd) client.write(requestBytes({ target: '/crowd' }));
    await eventually('all are with the backend', () => backend.requestsTo('/crowd').length === 100);
    t.equal((await versionState(proxy)).inFlight, 100);
    for (const client of crowd) client.destroy();
  });
  t.match(counts, { started: 100, clientAborted: 100 });
  await eventually('none of their connections to the backend is left', () =>
    backend.requestsTo('/crowd').every(({ connection }) => connection.ending !== 'open'),
  );
  await eventually('nor counted', async () => (await versionState(proxy)).backends[0].openSockets <= backend.open);
});

t.test('one that goes while it is held at the door was never sent', async (t) => {
  backend.use(answer('late'), '/held');
  t.equal((await proxy.admin('/v1/upstreams/closed/hold', { method: 'POST' })).status, 200);
  const client = await RawClient.connect(proxy.port);
  client.write(requestBytes({ target: '/held' }));
  await eventually('it waits', async () => (await upstreamState(proxy, 'closed')).waiting === 1);
  client.destroy();
  await eventually('it waits no more', async () => (await upstreamState(proxy, 'closed')).waiting === 0);
  t.equal((await proxy.admin('/v1/upstreams/closed/unhold', { method: 'POST' })).status, 200);
  t.equal((await proxy.send({ target: '/held' })).body.toString(), 'late');
  t.equal(backend.requestsTo('/held').length, 1);
  t.match(await settledCounts(proxy, 'closed'), { started: 1, completed: 1 });
});

t.test('the log says so', async (t) => {
  const told = (): unknown[] => proxy.log.filter(({ reason }) => reason === 'client-aborted');
  await eventually('a line for each', () => told().length >= 18 + 100);
  // Threads tell of their requests each for itself, in no order among them.
  t.match(await proxy.logged('/before-the-answer/closes'), { reason: 'client-aborted', status: 0 });
});
