import t from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { freePort } from '../helpers/ports.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t, async (request, connection) => {
  const { length } = await request.body;
  connection.respond(200, `${request.target} ${length}`);
});
const NONE = { health: { kind: 'none' } };
const dead = `127.0.0.1:${await freePort()}`;
const upstream = (host: string): Record<string, unknown> => catchAll({ v1: [backend.address] }, 'v1', { ...NONE, routes: [{ host, path: '/' }] });
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: {
    web: upstream('*'),
    two: upstream('two.test'),
    dead: catchAll({ v1: [dead] }, 'v1', { routes: [{ host: 'dead.test', path: '/' }], hold: { whenUnavailable: true, timeout: '300ms' } }),
  },
});

async function view(name: string): Promise<UpstreamView> {
  return (await proxy.admin(`/v1/upstreams/${name}`)).json as UpstreamView;
}

t.test('a policy that is refused as stale is never in force, also not with the next publish', async (t) => {
  const body = { ...upstream('*'), limits: { body: 1 } };
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body, headers: { 'if-match': '"999"' } })).status, 412);
  for (const verb of ['hold', 'unhold']) await proxy.admin(`/v1/upstreams/web/${verb}`, { method: 'POST' });
  t.equal((await proxy.send({ method: 'POST', target: '/', body: 'ten bytes.' })).status, 200);
});

t.test('an upstream with nothing live answers for its own routes: they do not fall to another', async (t) => {
  const response = await proxy.send({ host: 'dead.test' });
  t.equal(response.status, 503);
  t.match(response.body.toString(), /held|available/);
});

t.test('each upstream counts those that wait at its own door', async (t) => {
  for (const name of ['web', 'two']) await proxy.admin(`/v1/upstreams/${name}/hold`, { method: 'POST' });
  const waiting = [1, 2, 3].map(() => proxy.send({ target: '/waits' }));
  await eventually('three wait', async () => (await view('web')).waiting === 3);
  t.equal((await view('two')).waiting, 0);
  for (const name of ['web', 'two']) await proxy.admin(`/v1/upstreams/${name}/unhold`, { method: 'POST' });
  t.strictSame(
    (await Promise.all(waiting)).map(({ status }) => status),
    [200, 200, 200],
  );
  t.equal((await view('web')).waiting, 0);
});

t.test('the last available backend is not taken out', async (t) => {
  const { status, json } = await proxy.admin(`/v1/upstreams/web/backends/${backend.address}/drain`, { method: 'POST' });
  t.equal(status, 409);
  t.match(json, { code: 'not-now', detail: /last available backend/ });
  t.equal((await proxy.send()).status, 200);
});

t.test('held requests that are turned away, with others behind them, do not get into the heads of other clients', async (t) => {
  const wrong: string[] = [];
  let running = true;
  const clients = Array.from({ length: 6 }, async (_, id) => {
    using client = await RawClient.connect(proxy.port);
    for (let n = 0; running; n++) {
      const target = `/a/${id}-${n}/${'x'.repeat(n % 50)}`;
      const { status, body } = await client.request({ host: 'web.test', target });
      if (status !== 200 || body.toString() !== `${target} 0`) wrong.push(`${target}: ${status} ${body.toString()}`);
    }
  });
  const pipelined = `GET /b HTTP/1.1\r\nHost: b.test\r\n\r\nPOST /c HTTP/1.1\r\nX-Pad: ${'p'.repeat(900)}\r\nHost: web.test\r\nContent-Length: 3\r\n\r\nabc`;
  for (let round = 0; round < 12; round++) {
    await proxy.admin('/v1/upstreams/b', { method: 'PUT', body: upstream('b.test') });
    await proxy.admin('/v1/upstreams/b/hold', { method: 'POST' });
    const held = await Promise.all(Array.from({ length: 10 }, () => RawClient.connect(proxy.port)));
    for (const client of held) client.write(pipelined);
    await eventually('they wait', async () => (await view('b')).waiting === held.length);
    await proxy.admin('/v1/upstreams/b', { method: 'DELETE' });
    await sleep(5);
    for (const client of held) client.destroy();
  }
  running = false;
  await Promise.all(clients);
  t.strictSame(wrong, []);
});
