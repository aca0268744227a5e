import t from 'tap';
import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';

const DRAIN_MS = 4_500;
/** A proxy that ends waits so long for a request on an open connection. */
const IDLE_MS = 1_000;

const backend = await RawUpstream.start(t, async (request, connection) => {
  await request.body;
  if (request.target === '/slow') await sleep(700);
  if (request.target.startsWith('/never')) await connection.closed(60_000);
  connection.respond(200, 'whole');
});
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(sockets, 'listening');
t.teardown(() => sockets.close());
const address = sockets.address();
const socketsAddress = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;

function start(drain: string | number, dataThreads = 2): Promise<Proxy> {
  return Proxy.start(t, {
    dataThreads,
    shutdown: { drain },
    upstreams: {
      web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }),
      ws: catchAll({ v1: [socketsAddress] }, 'v1', { health: { kind: 'none' }, routes: [{ path: '/ws' }] }),
    },
  });
}

/** Short connections, one after another, until none can be made; gives back what went wrong after a connection was made. */
async function visit(port: number, tally: { served: number }): Promise<string[]> {
  const broken: string[] = [];
  for (;;) {
    let client: RawClient;
    const dialled = performance.now();
    try {
      client = await RawClient.connect(port);
    } catch {
      return broken;
    }
    // Who was held up before it could ask may have been hung up on as idle meanwhile.
    const idle = performance.now() - dialled > IDLE_MS / 2;
    try {
      const response = await client.request({ fields: [['Connection', 'close']] });
      if (response.status === 200 && response.body.toString() === 'whole') tally.served++;
      else broken.push(`${response.status}`);
    } catch (error) {
      if (!idle) broken.push(String(error));
    } finally {
      client.destroy();
    }
  }
}

t.test('under load: what is in flight ends well, nobody who got a connection is turned away', async (t) => {
  const proxy = await start('10s');
  const kept = await RawClient.connect(proxy.port);
  t.equal(field(await kept.request(), 'connection'), null);
  const idle = await RawClient.connect(proxy.port);
  await idle.request();
  const tally = { served: 0 };
  const visitors = Array.from({ length: 3 }, () => visit(proxy.port, tally));
  await eventually('there is traffic', () => tally.served > 50);
  const slow = proxy.send({ target: '/slow' });
  const upload = await RawClient.connect(proxy.port);
  upload.write(requestBytes({ method: 'POST', target: '/upload', fields: [['Content-Length', '6']], body: 'abc' }));
  await Promise.all([backend.requestTo('/slow'), backend.requestTo('/upload')]);
  proxy.process.child.kill('SIGTERM');
  await eventually('/readyz says so', async () => (await proxy.admin('/readyz')).status === 503);
  // Each thread is told for itself.
  let last = await kept.request();
  while (field(last, 'connection') === null) last = await kept.request();
  t.equal(field(last, 'connection'), 'close', 'a kept connection is told to end');
  t.equal(last.body.toString(), 'whole');
  t.equal(await kept.closed(), 'end');
  upload.write('def');
  t.equal((await upload.response('POST')).body.toString(), 'whole', 'an upload goes on');
  t.equal((await slow).body.toString(), 'whole', 'so does a slow answer');
  t.equal(await idle.closed(), 'end', 'idle connections are closed');
  const broken = (await Promise.all(visitors)).flat();
  t.strictSame(broken, [], `of ${tally.served} short connections none was broken`);
  t.strictSame(await proxy.process.wait(), { code: 0, signal: null });
  t.match(proxy.process.stderr, /SIGTERM: draining, for up to 10 s[^]*every request was completed/);
});

t.test('what does not end is cut at the deadline, WebSockets politely before it', async (t) => {
  const { proxy, asked, code, closed, cut, response } = await undisturbed(
    1_000,
    async (round) => {
      const proxy = await start(DRAIN_MS, 1);
      const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/ws`);
      await once(socket, 'open');
      const stuck = await RawClient.connect(proxy.port);
      stuck.write(requestBytes({ target: `/never/${round}` }));
      await backend.requestTo(`/never/${round}`);
      const asked = performance.now();
      proxy.process.child.kill('SIGINT');
      const [code] = (await once(socket, 'close')) as [number];
      const closed = performance.now() - asked;
      const response = await stuck.response();
      return { proxy, asked, code, closed, cut: performance.now() - asked, response };
    },
    ({ closed, cut }) => cut - closed > 1_000,
  );
  t.equal(code, 1012, 'service restart');
  t.ok(closed > 1_000 && cut - closed > 1_000, `closed after ${Math.round(closed)} ms, the others cut after ${Math.round(cut)}`);
  t.match([response.status, field(response, 'proxy-status'), field(response, 'connection')], [503, /details="drain-deadline"/, 'close']);
  t.strictSame(await proxy.process.wait(), { code: 0, signal: null });
  t.ok(performance.now() - asked >= DRAIN_MS - 200, 'not before the deadline');
  t.match(proxy.process.stderr, /1 requests? w(as|ere) cut at the deadline/);
});

t.test('without work it ends at once, and a second signal ends it in any case', async (t) => {
  const quiet = await start('10m');
  t.strictSame(await quiet.stop('SIGTERM'), { code: 0, signal: null });
  const busy = await start('10m');
  const stuck = await RawClient.connect(busy.port);
  stuck.write(requestBytes({ target: '/never-again' }));
  await backend.requestTo('/never-again');
  busy.process.child.kill('SIGTERM');
  // Two signals that come together are one.
  await eventually('it has heard the first', () => busy.process.stderr.includes('SIGTERM: draining'));
  t.equal(busy.process.running, true);
  busy.process.child.kill('SIGTERM');
  t.strictSame(await busy.process.wait(), { code: 1, signal: null });
  t.not(await stuck.closed(), 'open');
});
