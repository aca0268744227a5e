import t from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

let proxy: Proxy;
let backends: Backends;
let traffic: Traffic | null = null;
let count = 1;

t.before(async () => {
  backends = await Backends.start(t);
  proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{}],
        health: { interval: '200ms', admitInterval: '30ms' },
        sticky: { header: 'x-key' },
        // Ejecting a backend that errs would leave less to judge.
        outlier: false,
        versions: { v1: { backends: await backends.listen('v1') } },
      },
    },
  });
});
t.teardown(() => traffic?.stop());

const load = (): Traffic => (traffic = new Traffic({ port: proxy.port, clients: 8, slow: 0, keyed: true }));

async function upstream(): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

/** Swaps to a new version with a canary at 50 %. @returns its id and how it ends, or is paused. */
async function canary(
  strategy: Record<string, unknown>,
  prepare: (id: string, addresses: readonly string[]) => Promise<void> = async () => undefined,
): Promise<{ id: string; swap: SwapView }> {
  const id = `v${++count}`;
  const addresses = await backends.listen(id);
  await prepare(id, addresses);
  await proxy.admin('/v1/upstreams/web/swap', { body: { to: id, backends: addresses, strategy } });
  const over = async (): Promise<SwapView | null> => {
    const { swap } = await upstream();
    return swap !== null && swap.to === id && (swap.finished || swap.paused) ? swap : null;
  };
  return { id, swap: await eventually(`the end of the swap to ${id}`, over, 90_000) };
}

function judgementOf(swap: SwapView): Record<string, unknown> {
  return swap.steps.findLast(({ name }) => name === 'judged')?.evidence ?? {};
}

t.test('no traffic: a canary that has to be judged is held longer, then waits for a person; the command line says why', async (t) => {
  const { swap } = await canary({ canary: [{ weight: 50, hold: '200ms' }], analysis: { extend: 2 } });
  t.match(swap, { paused: true, state: 'cutting-over', verdict: { decision: 'inconclusive', words: 'too few requests: 0 of the 50 needed' } });
  t.match(swap.steps.at(-1), { name: 'paused', evidence: { by: 'switchyard', incoming: { requests: 0 } } });
  t.match((await verb(proxy, 'status', 'web')).stdout, /… held longer {3}50 %: too few requests.*… paused {8}too few requests: 0 of the 50 needed.*/s);
  t.match((await verb(proxy, 'status')).stdout, /cutting-over, paused at 50 %; too few requests/);
  t.match((await verb(proxy, 'explain', 'web')).stdout, /judged so far: too few requests/);
  await verb(proxy, 'abort', 'web');
  await eventually('the way back', async () => (await upstream()).swap?.finished);
});

t.test('no traffic, and nobody has asked for a judgement: the canary goes on as it always did', async (t) => {
  const { id, swap } = await canary({ canary: [{ weight: 50, hold: '200ms' }] });
  t.match(swap, { state: 'done', to: id });
  t.match(judgementOf(swap), { decision: 'inconclusive', words: 'too few requests: 0 of the 50 needed' });
});

t.test('under load: a good canary passes with its numbers', async (t) => {
  load();
  const { id, swap } = await canary({ canary: [{ weight: 50, hold: '2s' }], analysis: { p99MsMax: '10s', errorRateMax: '1%' } });
  t.match(swap, { state: 'done', to: id });
  const found = judgementOf(swap) as unknown as NonNullable<SwapView['verdict']>;
  t.match(found, { decision: 'pass', weight: 50, incoming: { errors: 0 }, stable: { errors: 0 } });
  t.ok(found.incoming.requests >= 50 && found.stable.requests >= 50, found.words);
  t.equal(found.latency.length, 3);
});

t.test('under load: one backend of two errs, and the canary is taken back within its hold', async (t) => {
  const before = (await upstream()).split;
  const { id, swap } = await canary({ canary: [{ weight: 50, hold: '60s' }] }, (id, [bad]) => backends.answers(id, 'error', bad));
  t.match(swap, { state: 'rolled-back', reason: new RegExp(`^${id} did worse at weight 50: \\d+ of \\d+ requests failed`) });
  t.match(judgementOf(swap), { decision: 'fail', stable: { errors: 0 }, incoming: { errors: Number } });
  t.same((await upstream()).split, before, 'all traffic is back');
});

t.test('under load: a canary that is 60 ms slower is taken back for its latency', async (t) => {
  const { id, swap } = await canary({ canary: [{ weight: 50, hold: '60s' }], analysis: { warmup: '500ms' } }, (id) => backends.answers(id, 'slow'));
  t.match(swap.reason, new RegExp(`^${id} did worse at weight 50: (the median|p95|p99) is [\\d.]+ ms and of the versions before it [\\d.]+ ms`));
  const { latency } = judgementOf(swap) as unknown as NonNullable<SwapView['verdict']>;
  t.ok(
    latency.some(({ surely, atMost }) => atMost !== null && surely > atMost),
    JSON.stringify(latency),
  );
});

t.test('under load: the command shows the judgement and exits 1', async (t) => {
  const id = `v${++count}`;
  const [address] = await backends.listen(id, 1);
  await backends.answers(id, 'error');
  const { code, stdout, stderr } = await verb(
    proxy,
    'swap',
    'web',
    '--to',
    id,
    '--backend',
    address,
    '--canary',
    '25,50',
    '--hold',
    '30s',
    '--min-requests',
    '60',
  );
  t.equal(code, 1);
  t.match(stdout, /✗ judged {8}25 %: \d+ of \d+ requests failed \(100 %\), of the versions before it 0 of \d+ requests failed \(0 %\)/);
  t.match(stderr, /was rolled back; all traffic is back on v/);
  const failed = (await traffic?.stop())?.filter(({ error }) => error !== null);
  t.same(failed, [], 'no request was cut by any of these swaps');
});
