import t from 'tap';
import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { randomFrom } from '../swap/random.ts';

const ROUNDS = 15;
const SEED = Number(process.env.SEED ?? 20_260_214);
const CANARY = [
  { weight: 30, hold: '50ms' },
  { weight: 70, hold: '50ms' },
];

/** Splits that a swap goes through, in their order; what is heard of it is a lower bound of where it is after a crash. */
function stations(from: string, to: string): Record<string, number>[] {
  return [{ [from]: 100 }, { [to]: 30, [from]: 70 }, { [to]: 70, [from]: 30 }, { [to]: 100 }];
}

function reached(events: Events, to: string): number {
  if (events.find('live', to) !== undefined) return 3;
  return events.all.filter(({ type, version }) => type === 'step' && version === to).length;
}

function same(a: Record<string, number>, b: Record<string, number>): boolean {
  return Object.keys(a).length === Object.keys(b).length && Object.keys(a).every((key) => a[key] === b[key]);
}

async function web(proxy: Proxy): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

/** Kills the proxy after `delay` ms of a swap, and looks at what it is after a restart. @returns the version that is live in the end. */
async function round(t: Test, { proxy, backends }: { proxy: Proxy; backends: Backends }, from: string, to: string, delay: number): Promise<string> {
  const addresses = await backends.listen(to, 1);
  const events = await Events.of(t, proxy.adminUrl);
  const asked = proxy.admin('/v1/upstreams/web/swap', { body: { to, backends: addresses, strategy: { canary: CANARY } } }).then(
    ({ status }) => status === 202,
    () => false,
  );
  await sleep(delay);
  await proxy.kill();
  const taken = await asked;
  await events.close();
  const heard = reached(events, to);
  await proxy.restart();
  const after = await web(proxy);
  const station = stations(from, to).findIndex((split) => same(split, after.split));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => proxy.send({ fields: [['x-key', `${to}-${i}`]] })));
  t.ok(
    answers.every(({ status }) => status === 200),
    `${to}: served at once`,
  );
  const known = after.swap?.to === to;
  t.ok(known || !taken, `${to}: a swap that was taken is not forgotten`);
  t.ok(station >= heard, `${to}, killed after ${delay} ms: split ${JSON.stringify(after.split)}; step ${heard} had been reached`);
  const allowed = new Set([...Object.keys(after.split), ...(after.swap?.finished === false ? Object.keys((await web(proxy)).split) : [])]);
  const seen = new Set(answers.map((answer) => field(answer, 'x-version')));
  t.ok(
    [...seen].every((version) => version !== null && allowed.has(version)),
    `${to}: answered by ${[...seen].join(', ')}`,
  );
  if (!known) return from;
  const last = await eventually(`the end of the swap to ${to}`, async () => {
    const { swap } = await web(proxy);
    return swap?.finished === true ? swap : null;
  });
  t.equal((last satisfies SwapView).state, 'done', `${to}: the swap goes on to its end`);
  t.strictSame((await web(proxy)).split, { [to]: 100 });
  return to;
}

t.test(`killed at ${ROUNDS} random moments of swaps (seed ${SEED})`, { timeout: 170_000 }, async (t) => {
  const backends = await Backends.start(t);
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    upstreams: {
      web: {
        routes: [{}],
        health: { interval: '100ms', admitInterval: '20ms' },
        sticky: { header: 'x-key' },
        versions: { v0: { backends: await backends.listen('v0', 1) } },
      },
    },
  });
  const random = randomFrom(SEED);
  let live = 'v0';
  for (let n = 1; n <= ROUNDS; n++) live = await round(t, { proxy, backends }, live, `v${n}`, Math.floor(random() * 320));
  t.match((await proxy.send()).status, 200);
  t.notMatch(proxy.output, /warn|error/, proxy.output);
});
