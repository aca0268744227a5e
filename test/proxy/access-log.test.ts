import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { freePort } from '../helpers/ports.ts';
import { field } from '../helpers/message.ts';
import { eventually, sleep } from '../helpers/wait.ts';

type Line = Record<string, unknown>;

const backend = await RawUpstream.start(t, async (request, connection) => connection.respond(200, `${(await request.body).length} bytes`));
const nobody = `127.0.0.1:${await freePort()}`;
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'a' }] }),
    retried: catchAll({ v1: [nobody, backend.address] }, 'v1', {
      health: { kind: 'none' },
      balance: 'round-robin',
      outlier: false,
      routes: [{ host: 'retried' }],
    }),
    down: catchAll({ v1: [nobody] }, 'v1', { health: { kind: 'none' }, retries: { attempts: 0 }, routes: [{ host: 'down' }] }),
  },
});

/** All lines so far; every one must be JSON. */
const lines = (): Line[] => proxy.log;

/** The lines about these targets, once there are so many. */
async function about(target: string, count: number): Promise<Line[]> {
  return eventually(`${count} lines about ${target}`, () => {
    const found = lines().filter((line) => line.target === target);
    return found.length >= count ? found : null;
  });
}

t.test('one line a request, with what is asked of it afterwards', async (t) => {
  const since = Date.now();
  await proxy.send({ method: 'POST', host: 'a', target: '/one?q="x"', body: 'hello' });
  const [line, ...more] = await about('/one?q="x"', 1);
  t.strictSame(more, []);
  t.strictSame(Object.keys(line), [
    'at',
    'client',
    'method',
    'host',
    'target',
    'protocol',
    'status',
    'ms',
    'bytesIn',
    'bytesOut',
    'upstream',
    'version',
    'backend',
    'retries',
    'requestId',
    'reason',
  ]);
  t.match(line, {
    client: '127.0.0.1',
    method: 'POST',
    host: 'a',
    status: 200,
    bytesIn: 5,
    bytesOut: 7,
    upstream: 'web',
    version: 'v1',
    backend: backend.address,
    retries: 0,
    reason: null,
  });
  t.equal(line.requestId, field(await backend.requestTo('/one?q="x"'), 'x-request-id'), 'the id that the backend knows it by');
  t.ok(Math.abs(Date.parse(String(line.at)) - since) < 60_000);
  t.ok(typeof line.ms === 'number' && line.ms > 0 && line.ms < 60_000);
});

t.test('what was refused, failed or abandoned is there with its reason', async (t) => {
  await proxy.send({ host: 'unknown', target: '/refused' });
  t.match(await about('/refused', 1), [{ status: 404, reason: 'no-route', upstream: null, version: null, backend: null, bytesOut: 0 }]);
  await proxy.send({ host: 'down', target: '/failed' });
  t.match(await about('/failed', 1), [{ status: 502, reason: 'dial-failed', upstream: 'down', version: 'v1', backend: nobody }]);
  for (let i = 0; i < 2; i++) await proxy.send({ host: 'retried', target: '/retried' });
  const retried = await about('/retried', 2);
  t.strictSame(retried.map(({ retries }) => retries).toSorted(), [0, 1]);
  t.ok(
    retried.every(({ status, reason, backend: address }) => status === 200 && reason === null && address === backend.address),
    'a retry that helped is no fault',
  );
  using client = await RawClient.connect(proxy.port);
  client.write('nonsense\r\n\r\n');
  await client.takeAll();
  t.match(await eventually('the line', () => lines().find(({ status }) => status === 400)), { method: '', target: '', host: '', reason: 'bad-method' });
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf');
    await connection.closed();
  }, '/left');
  using leaver = await RawClient.connect(proxy.port);
  leaver.write(requestBytes({ host: 'a', target: '/left' }));
  await leaver.takeUntil('half');
  leaver.destroy();
  t.match(await about('/left', 1), [{ status: 200, reason: 'client-aborted', bytesOut: 4 }]);
});

t.test('a tunnel has its line when it ends', async (t) => {
  backend.use((_, connection) => {
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n1234');
    connection.socket.on('end', () => connection.end());
    return 'taken';
  }, '/tunnel');
  const client = await RawClient.connect(proxy.port);
  client.write(
    requestBytes({
      host: 'a',
      target: '/tunnel',
      fields: [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'echo'],
      ],
    }),
  );
  await client.takeUntil('1234');
  t.strictSame(
    lines().filter(({ target }) => target === '/tunnel'),
    [],
  );
  client.write('abc');
  await sleep(20);
  client.end();
  t.match(await about('/tunnel', 1), [{ status: 101, bytesIn: 3, bytesOut: 4, reason: null }]);
  client.destroy();
});

t.test('nothing that a client sends can break or forge a line', async (t) => {
  backend.use(answer('ok'));
  await proxy.send({ host: 'a', target: '/%22%7D%0A\x80"}{\\' });
  t.ok(lines().every((line) => typeof line.requestId === 'string' || 'dropped' in line));
});

t.test('lines come in batches, and none is lost or doubled', async (t) => {
  using client = await RawClient.connect(proxy.port);
  for (let i = 0; i < 400; i++) client.write(requestBytes({ host: 'a', target: '/many' }));
  for (let i = 0; i < 400; i++) await client.response();
  t.equal((await about('/many', 400)).length, 400);
  t.equal(new Set((await about('/many', 400)).map(({ requestId }) => requestId)).size, 400);
});

t.test('sampled: one in a hundred, and everything that went wrong', async (t) => {
  await proxy.editConfig((config) => ({ ...config, accessLog: 'sampled' }));
  await eventually('the new configuration', () => proxy.output.includes('configuration reloaded'));
  using client = await RawClient.connect(proxy.port);
  for (let i = 0; i < 300; i++) client.write(requestBytes({ host: 'a', target: '/sampled' }));
  for (let i = 0; i < 300; i++) await client.response();
  for (let i = 0; i < 5; i++) await client.request({ host: 'unknown', target: '/wrong' });
  await about('/wrong', 5);
  t.equal(lines().filter(({ target }) => target === '/sampled').length, 3);
});

t.test('off: nothing', async (t) => {
  const reloads = proxy.output.split('configuration reloaded').length;
  await proxy.editConfig((config) => ({ ...config, accessLog: 'off' }));
  await eventually('the new configuration', () => proxy.output.split('configuration reloaded').length > reloads);
  await proxy.send({ host: 'a', target: '/off' });
  await proxy.send({ host: 'unknown', target: '/off' });
  await sleep(150);
  t.strictSame(
    lines().filter(({ target }) => target === '/off'),
    [],
  );
});
