import t from 'tap';
import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import type { Taken } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';

const SWAPS = 20;
const CLIENTS = 32;
const RISE = 2;

async function receiptOf(proxy: Proxy, id: string): Promise<Receipt> {
  return eventually(`the receipt of ${id}`, async () => {
    const { status, json } = await proxy.admin(`/v1/upstreams/web/versions/${id}/receipt`);
    return status === 200 ? (json as Receipt) : null;
  });
}

/** One swap, with what its backends say at each of its moments. */
async function swapTo(
  t: Test,
  world: { proxy: Proxy; backends: Backends; events: Events },
  from: string,
  to: string,
): Promise<{ live: number; receipt: Receipt }> {
  const { proxy, backends, events } = world;
  const addresses = await backends.listen(to);
  const { status, json } = await proxy.admin('/v1/upstreams/web/swap', { body: { to, backends: addresses } });
  t.equal(status, 202, `the swap to ${to} is taken`);
  const live = await events.wait('live', to);
  await events.wait('released', from, 30_000);
  const old = await backends.record(from);
  t.equal(old.held, 0, `${from} is released when its backends hold nothing`);
  const receipt = await receiptOf(proxy, from);
  t.ok(old.lastEndedAt <= Date.parse(receipt.releasedAt), `the last answer of ${from} was complete before its release`);
  t.ok(old.lastBeganAt <= Date.parse(receipt.releasedAt), `nothing reached ${from} after its release`);
  t.equal(receipt.counts.started, old.begun, `the receipt of ${from} counts what its backends counted`);
  await eventually('the end of the swap', async () => ((await proxy.admin(`/v1/swaps/${(json as SwapView).id}`)).json as SwapView).state === 'done');
  return { live: live.heard, receipt };
}

function checkReceipt(t: Test, receipt: Receipt): void {
  const { version, counts, generation, acks, admitted } = receipt;
  t.equal(counts.started, counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed, `the counts of ${version} add up`);
  t.equal(counts.completed, counts.started, `every request to ${version} was completed`);
  t.equal(Object.keys(acks).length, 2, `both threads have acked the release of ${version}`);
  for (const ack of Object.values(acks)) t.ok(ack >= generation, `${version}: acked ${ack}, drained since ${generation}`);
  t.match(admitted, { healthy: 2, of: 2 });
  // Each thread has its own moment of most requests.
  t.ok(receipt.peakInFlight >= 1 && receipt.peakInFlight <= 2 * CLIENTS, `${version}: peak of ${receipt.peakInFlight}`);
}

/** Requests that an outgoing version answered although they began when its successor was known to be live. */
function late(taken: readonly Taken[], order: readonly { from: string; live: number }[]): Taken[] {
  const replacedAt = new Map(order.map(({ from, live }) => [from, live]));
  return taken.filter(({ version, began }) => version !== null && began > (replacedAt.get(version) ?? Infinity));
}

t.test(`${SWAPS} swaps in a row under load lose nothing`, { timeout: 170_000 }, async (t) => {
  const backends = await Backends.start(t);
  const proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{ host: '*', path: '/' }],
        health: { interval: '200ms', admitInterval: '30ms', rise: RISE },
        versions: { v0: { backends: await backends.listen('v0') } },
        live: 'v0',
      },
    },
  });
  const events = await Events.of(t, proxy.adminUrl);
  const traffic = new Traffic({ port: proxy.port, clients: CLIENTS });
  await eventually('traffic', () => traffic.taken.length > 200);
  const order: { from: string; live: number }[] = [];
  const receipts: Receipt[] = [];
  for (let n = 1; n <= SWAPS; n++) {
    const { live, receipt } = await swapTo(t, { proxy, backends, events }, `v${n - 1}`, `v${n}`);
    order.push({ from: `v${n - 1}`, live });
    receipts.push(receipt);
    const enough = traffic.taken.length + CLIENTS;
    await eventually(`traffic on v${n}`, () => traffic.taken.length > enough);
  }
  const taken = await traffic.stop();
  t.comment(`${taken.length} requests, ${taken.filter(({ path }) => path !== '/').length} of them slow`);
  t.strictSame(traffic.failed.slice(0, 3), [], 'no request has failed');
  t.strictSame(late(taken, order).slice(0, 3), [], 'nothing that began after "live" was answered by the old version');
  for (const receipt of receipts) checkReceipt(t, receipt);
  for (let n = 1; n <= SWAPS; n++) {
    const record = await backends.record(`v${n}`);
    t.ok(record.passedAtFirst !== null && record.passedAtFirst >= RISE, `v${n} had passed ${record.passedAtFirst} probes when its first request came`);
    t.equal(Object.keys(record.byPort).length, 2, `both backends of v${n} were used`);
  }
  const web = (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  const last = web.versions.find(({ id }) => id === `v${SWAPS}`);
  const metrics = (await proxy.admin('/metrics')).text;
  const retries = Number(/^switchyard_retries_total (\d+)$/m.exec(metrics)?.[1]);
  const started = receipts.reduce((sum, { counts }) => sum + counts.started, last?.counts.started ?? 0);
  t.equal(started, taken.length + retries, 'every request, and every retry, is in exactly one receipt');
  t.equal(new Set(taken.map(({ version }) => version)).size, SWAPS + 1, 'every version has answered');
});
