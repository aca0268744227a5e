import { Session } from 'node:inspector';
import t from 'tap';
import type { Test } from 'tap';
import type { LoggedEvent } from '../../src/control/operations.ts';
import { emptyCounts } from '../../src/ledger/control.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Backends } from '../helpers/backends.ts';
import { CALLER, InProcess } from '../helpers/control.ts';
import { send } from '../helpers/raw_client.ts';
import type { Response } from '../helpers/message.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const HEALTH = { interval: '200ms', admitInterval: '20ms' };

/** Requests wait as long as the tests want. */
const PATIENT = { timeouts: { head: '10m' }, drain: { requests: '10m' } };

function web(v0: readonly string[], more: Record<string, unknown> = {}): Record<string, unknown> {
  return { upstreams: { web: { routes: [{ host: '*', path: '/' }], health: HEALTH, ...PATIENT, versions: { v0: { backends: v0 } }, live: 'v0', ...more } } };
}

async function start(t: Test, more?: Record<string, unknown>): Promise<{ backends: Backends; proxy: InProcess; swapTo(to: string): Promise<void> }> {
  const backends = await Backends.start(t);
  const proxy = await InProcess.start(t, web(await backends.listen('v0'), more));
  const swapTo = async (to: string): Promise<void> => {
    const addresses = await backends.listen(to);
    await proxy.control.operator.swap('web', { to, backends: addresses.map((address) => ({ address, weight: 1 })) }, CALLER);
  };
  return { backends, proxy, swapTo };
}

/** Requests in flight, by data thread. */
function inFlight({ control }: InProcess): number[] {
  const slots = control.fleet.get('web').driver.state.versions.flatMap((version) => version.backends.map(({ slot }) => slot));
  return [0, 1].map((thread) => slots.reduce((sum, slot) => sum + control.ledger.addCounts(emptyCounts(), slot, thread).inFlight, 0));
}

/** So many requests that wait at their backends, at least two on each thread. */
async function hold(proxy: InProcess, count: number): Promise<Promise<Response | Error>[]> {
  const ended: string[] = [];
  const one = (): Promise<Response | Error> => {
    const asked = send(proxy.port, { target: '/hold' }, 170_000).catch((error: Error) => error);
    void asked.then((end) => ended.push(end instanceof Error ? end.message : `${end.status} ${end.body.toString()}`));
    return asked;
  };
  const held = Array.from({ length: count }, one);
  const there = (): boolean => inFlight(proxy).reduce((a, b) => a + b) === held.length;
  const threads = (): string => `${inFlight(proxy).join(' and ')} of ${held.length} requests are at their backends; ended: ${ended.join(', ')}`;
  await eventually(threads, there);
  while (Math.min(...inFlight(proxy)) < 2) {
    held.push(one());
    await eventually(threads, there);
  }
  return held;
}

/** Requests that a thread, its predecessors included, has begun on the newest version. */
function startedBy({ control }: InProcess, thread: number): number {
  const newest = control.fleet.get('web').driver.state.versions.at(-1);
  return (newest?.backends ?? []).reduce((sum, { slot }) => sum + control.ledger.addCounts(emptyCounts(), slot, thread).started, 0);
}

function losses({ events }: InProcess): LoggedEvent[] {
  return events.filter(({ type }) => type === 'thread-lost');
}

function addsUp(t: Test, { version, counts }: Receipt): void {
  t.equal(counts.started, counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed, `the counts of ${version} add up`);
}

t.test('a data thread that dies takes its own requests with it, and no others', async (t) => {
  const { backends, proxy, swapTo } = await start(t);
  const held = await hold(proxy, 12);
  await swapTo('v1');
  await proxy.event('draining', 'v0');
  const [, doomed] = inFlight(proxy);
  await proxy.control.threads.end(1);
  const lost = await proxy.event('thread-lost');
  t.strictSame(lost.data, { thread: 1, lost: doomed });
  t.match(proxy.told.join('\n'), `error data thread 1 died with ${doomed} requests in flight and is replaced`);
  const view = proxy.control.operator.version('web', 'v0');
  t.equal(view.phase, 'draining', 'v0 still drains');
  t.equal(view.inFlight, held.length - doomed, 'the other thread goes on');
  await eventually('the lost requests to be given up', async () => (await backends.record('v0')).held === held.length - doomed);
  t.equal(await backends.letGo('v0'), held.length, 'the backends let all go');
  const ended = await Promise.all(held);
  t.equal(ended.filter((end) => end instanceof Error).length, doomed, 'as many clients failed');
  t.equal(ended.filter((end) => !(end instanceof Error) && end.status === 200).length, held.length - doomed, 'all others were answered');
  const receipt = await proxy.receipt('web', 'v0');
  t.match(receipt, { counts: { started: held.length, killed: doomed, completed: held.length - doomed }, killedByKind: { http: doomed, stream: 0, tunnel: 0 } });
  addsUp(t, receipt);
  await eventually('the new thread to serve', async () => {
    t.equal((await send(proxy.port)).status, 200);
    return startedBy(proxy, 1) > 0;
  });
});

t.test('threads die at any moment of swaps under load', { timeout: 170_000 }, async (t) => {
  const { backends, proxy, swapTo } = await start(t);
  const traffic = new Traffic({ port: proxy.port, clients: 32, slow: 10 });
  await eventually('traffic', () => traffic.taken.length > 100);
  const kills: { at: number }[] = [];
  const kill = async (thread: number): Promise<void> => {
    const told = losses(proxy).length;
    kills.push({ at: performance.now() });
    await proxy.control.threads.end(thread);
    await eventually('the loss to be told', () =>
      losses(proxy)
        .slice(told)
        .some(({ data }) => data.thread === thread),
    );
  };
  const receipts: Receipt[] = [];
  let visits = 0;
  const moments: readonly ((to: string, from: string) => Promise<unknown>)[] = [
    async () => sleep(5),
    async (to) => proxy.event('admitted', to),
    async (to) => proxy.event('live', to),
    async (_, from) => proxy.event('draining', from),
  ];
  for (const [n, moment] of moments.entries()) {
    await swapTo(`v${n + 1}`);
    await moment(`v${n + 1}`, `v${n}`);
    await kill(n % 2);
    const before = startedBy(proxy, n % 2);
    receipts.push(await proxy.receipt('web', `v${n}`));
    t.equal(proxy.control.operator.lastSwap('web').state, 'done', 'the swap has gone on to its end');
    // Kept connections may all be on the other thread by now: only a new one finds its way to the new thread.
    await eventually('the new thread to serve', async () => {
      visits += (await send(proxy.port)).status === 200 ? 1 : 0;
      return startedBy(proxy, n % 2) > before;
    });
  }
  const taken = await traffic.stop();
  for (const receipt of receipts) addsUp(t, receipt);
  for (const { acks, generation } of receipts)
    t.ok(
      Object.values(acks).every((ack) => ack >= generation),
      'acks are not older than the drain',
    );
  const last = proxy.control.operator.version('web', `v${moments.length}`).counts;
  const sum = (of: 'started' | 'completed' | 'killed'): number => receipts.reduce((total, { counts }) => total + counts[of], last[of]);
  const { failed } = traffic;
  // Of every loss: on a machine that stands still for seconds a thread may be taken for hanging, too.
  const lost = losses(proxy).reduce((total, { data }) => total + (data.lost as number), 0);
  t.comment(`${taken.length} requests, ${failed.length} failed, ${lost} were in flight on threads that died`);
  t.equal(sum('killed'), lost, 'what was lost is what was counted');
  t.ok(failed.length >= lost, 'each of them is a request that failed');
  // What a client has of it may come late: its kept connection ends when it looks, and that is at the next request.
  const deaths = failed.map(({ client, ended }) => `client ${client}, death ${kills.findLastIndex(({ at }) => at < ended)}`);
  t.strictSame(
    deaths.filter((one) => one.endsWith(' -1')),
    [],
    'nothing failed before a thread died',
  );
  t.equal(new Set(deaths).size, deaths.length, 'and each client but once when one did');
  t.equal(sum('completed'), taken.length - failed.length + visits, 'all that were answered are counted as completed');
  t.equal((await backends.record('v0')).held, 0);
});

/** Makes a worker of this process spin for ever. */
async function spin(name: string): Promise<void> {
  const session = new Session();
  session.connect();
  const found = Promise.withResolvers<string>();
  session.on('NodeWorker.attachedToWorker', ({ params }) => {
    if (params.workerInfo.title.includes(name)) found.resolve(params.sessionId);
  });
  session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: 'for (;;);' } });
  session.post('NodeWorker.sendMessageToWorker', { sessionId: await found.promise, message });
  await sleep(50);
  session.disconnect();
}

t.test('a data thread that hangs is replaced and does not hold up a swap', { timeout: 170_000 }, async (t) => {
  const { backends, proxy, swapTo } = await start(t);
  const held = await hold(proxy, 8);
  const [, doomed] = inFlight(proxy);
  const began = performance.now();
  await spin('data-1');
  await swapTo('v1');
  const receipt = proxy.receipt('web', 'v0');
  t.match((await proxy.event('thread-lost')).data, { thread: 1, lost: doomed });
  t.ok(performance.now() - began > 4_000, 'it was given time');
  await proxy.event('live', 'v1');
  await backends.letGo('v0');
  t.match((await receipt).counts, { killed: doomed, completed: held.length - doomed });
  const ended = await Promise.all(held);
  t.equal(ended.filter((end) => end instanceof Error).length, doomed);
  t.ok((await Promise.all(Array.from({ length: 20 }, () => send(proxy.port)))).every(({ status }) => status === 200));
});

t.test('a receipt does not vouch for a thread that is not there with an old ack', async (t) => {
  const { proxy, swapTo } = await start(t, { health: { kind: 'none' } });
  // Twice in short order: the third birth is put off for a moment.
  await eventually('two losses', async () => {
    await proxy.control.threads.end(1);
    return losses(proxy).length >= 2;
  });
  await swapTo('v1');
  const { acks, generation } = await proxy.receipt('web', 'v0');
  t.ok(
    Object.values(acks).every((ack) => ack >= generation),
    `acks ${JSON.stringify(acks)} of generation ${generation}`,
  );
});
