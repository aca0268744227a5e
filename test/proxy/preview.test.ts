import t from 'tap';
import type { Test } from 'tap';
import type { Receipt } from '../../src/pool/upstream.ts';
import { h2Ask } from '../helpers/h2_ask.ts';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts, upstreamState, versionState } from './counts.ts';

const SECRET = 'a-secret-of-ours';

interface World {
  readonly proxy: Proxy;
  readonly port: number;
  readonly v2: RawUpstream;
  ask(fields: RequestSpec['fields']): Promise<string>;
}

async function start(t: Test, preview: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<World> {
  const [v1, v2] = [await RawUpstream.start(t, answer('v1')), await RawUpstream.start(t, answer('v2'))];
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    upstreams: { web: catchAll({ v1: [v1.address] }, 'v1', { health: { kind: 'none' }, preview, versionHeader: 'X-Served-By', ...more }) },
  });
  Object.assign(proxy, { port });
  await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v2', backends: [v2.address] } });
  await eventually('v2 is on standby', async () => (await versionState(proxy, 'web', 'v2')).phase === 'standby');
  return {
    proxy,
    port,
    v2,
    async ask(fields) {
      const given = await proxy.send({ fields });
      if (field(given, 'x-served-by') !== given.body.toString()) throw new Error(`answered by ${given.body.toString()}, says ${field(given, 'x-served-by')}`);
      return given.body.toString();
    },
  };
}

t.test('a version on standby can be seen by who names it', async (t) => {
  const { proxy, port, ask } = await start(t, { header: 'X-Switchyard-Version', cookie: 'sy_preview' });
  t.equal(await ask([]), 'v1');
  t.equal(await ask([['x-switchyard-version', 'v2']]), 'v2', 'by a field');
  t.equal(await ask([['Cookie', 'a=b; sy_preview=v2']]), 'v2', 'by a cookie');
  t.equal(await ask([['X-Switchyard-Version', 'v9']]), 'v1', 'a version that is not there is as none');
  t.equal((await h2Ask(port, { 'x-switchyard-version': 'v2' })).body, 'v2', 'over HTTP/2');
  t.same((await upstreamState(proxy)).split, { v1: 100 }, 'the split is what it was');
  t.match(await settledCounts(proxy, 'web', 'v2'), { started: 3, completed: 3 });
  t.match((await proxy.admin('/metrics')).text, /switchyard_steered_requests_total\{upstream="web",version="v2",by="preview"\} 3/);
  const swap = await proxy.cli(['swap', 'web', '--to', 'v2']);
  t.equal(swap.code, 0, swap.stderr);
  t.equal(await ask([['X-Switchyard-Version', 'v1']]), 'v2', 'one that is gone is not found');
});

t.test('with a secret only who knows it', async (t) => {
  const { ask, proxy } = await start(t, { header: 'X-V', secret: SECRET });
  t.equal(await ask([['X-V', 'v2']]), 'v1');
  t.equal(await ask([['X-V', 'v2:']]), 'v1');
  t.equal(await ask([['X-V', `v2:${SECRET}x`]]), 'v1');
  t.equal(await ask([['X-V', `v2:${SECRET}`]]), 'v2');
  t.notMatch((await proxy.admin('/v1/upstreams/web')).text, SECRET, 'it is not shown');
  t.notMatch(proxy.output, SECRET);
});

t.test('a version that was previewed is let go of with the same proof', async (t) => {
  const { proxy, v2 } = await start(t, { header: 'X-V' });
  let held: UpstreamConnection | null = null;
  v2.use((_, connection) => (held = connection));
  const running = proxy.send({ fields: [['X-V', 'v2']] });
  await eventually('it is there', () => held);
  await proxy.admin('/v1/upstreams/web/versions/v2', { method: 'DELETE' });
  t.match(await versionState(proxy, 'web', 'v2'), { phase: 'draining', inFlight: 1 });
  t.equal((await proxy.send({ fields: [['X-V', 'v2']] })).body.toString(), 'v1', 'nothing begins on it any more');
  (held as UpstreamConnection | null)?.respond(200, 'late');
  t.equal((await running).body.toString(), 'late', 'what had begun ends');
  await eventually('v2 is released', async () => (await proxy.admin('/v1/upstreams/web/versions/v2?wait=released&timeout=5s')).status === 200);
  const receipt = (await proxy.admin('/v1/upstreams/web/versions/v2/receipt')).json as Receipt;
  t.match(receipt.counts, { started: 1, completed: 1, killed: 0 });
});

t.test('during a canary it goes before pin, cookie and split, and leaves no trace', async (t) => {
  const { proxy, ask } = await start(t, { header: 'X-V' }, { sticky: { cookie: 'side' }, skew: { pin: { cookie: 'pin' } } });
  await proxy.admin('/v1/upstreams/web/split', { method: 'PUT', body: { v1: 50, v2: 50 } });
  for (const id of ['v1', 'v2', 'v1', 'v2'])
    t.equal(
      await ask([
        ['X-V', id],
        ['Cookie', 'pin=v1'],
      ]),
      id,
    );
  t.equal(field(await proxy.send({ fields: [['X-V', 'v2']] }), 'set-cookie'), null);
});
