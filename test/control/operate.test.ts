import t from 'tap';
import type { Test } from 'tap';
import { Refusal } from '../../src/errors/catalogue.ts';
import { Backends } from '../helpers/backends.ts';
import { CALLER, InProcess } from '../helpers/control.ts';
import { send } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';

const HEALTH = { interval: '100ms', admitInterval: '20ms' };

function named(addresses: readonly string[]): { address: string; weight: number }[] {
  return addresses.map((address) => ({ address, weight: 1 }));
}

async function start(t: Test, backends: readonly string[]): Promise<InProcess> {
  return InProcess.start(t, { upstreams: { web: { routes: [{}], health: HEALTH, versions: { v0: { backends } } } } });
}

/** What an error has to match to be this refusal. */
function refusal(code: string, message: string | RegExp = /./): Error {
  return { fault: { code }, message } as unknown as Error;
}

t.test('a swap to an id of old does not show the receipt of its former life', async (t) => {
  const backends = await Backends.start(t);
  const first = await backends.listen('v0', 1);
  const proxy = await start(t, first);
  const { operator } = proxy.control;
  await operator.swap('web', { to: 'v1', backends: named(await backends.listen('v1', 1)) }, CALLER);
  const receipt = await proxy.receipt('web', 'v0');
  t.strictSame(operator.lastSwap('web').receipt, receipt);
  await backends.health('v0', 'fail');
  const again = await operator.swap('web', { to: 'v0', backends: named(first) }, CALLER);
  t.match(again, { started: true, view: { state: 'admitting', receipt: null, killed: 0 } });
  t.throws(() => operator.receipt('web', 'v0'), refusal('no-receipt', 'v0 has no receipt: it is admitting.'));
});

t.test('a swap is found by its id while it runs, when it has ended, and when a rollback has ended it', async (t) => {
  const backends = await Backends.start(t);
  const proxy = await start(t, await backends.listen('v0', 1));
  const { operator, fleet } = proxy.control;
  const slow = send(proxy.port, { target: '/hold' }, 60_000);
  await eventually('the request', async () => (await backends.record('v0')).held === 1);
  const { view } = await operator.swap('web', { to: 'v1', backends: named(await backends.listen('v1', 1)) }, CALLER);
  t.match(operator.swapById(view.id), { id: view.id, finished: false });
  await proxy.event('draining', 'v0');
  const back = await operator.rollback('web', null, CALLER);
  t.match(operator.swapById(view.id), { state: 'rolled-back', finished: true, reason: 'rolled back to v0 by test', steps: [] });
  t.equal(operator.swapById(view.id).steps.at(-1)?.name, 'rolled-back');
  await proxy.receipt('web', 'v1');
  t.match(operator.swapById(back.id), { kind: 'rollback', state: 'done' });
  t.strictSame(fleet.outcomes.get('web'), { done: 1, 'rolled-back': 1 }, 'each is counted once: the rollback, and the swap; the seed is no swap');
  await backends.letGo('v0');
  t.equal((await slow).status, 200);
  t.throws(() => operator.swapById('no-such-swap'), refusal('no-such-swap'));
});

t.test('what is not there is refused, with what there is', async (t) => {
  const backends = await Backends.start(t);
  const proxy = await start(t, await backends.listen('v0', 1));
  const { operator } = proxy.control;
  t.throws(() => operator.upstream('wev'), refusal('no-such-upstream', 'There is no upstream wev; there is web.'));
  t.throws(() => operator.version('web', 'v9'), refusal('no-such-version', 'Upstream web has no version v9; it has v0.'));
  t.throws(() => operator.receipt('web', 'v0'), refusal('no-receipt', 'v0 has no receipt: it is live.'));
  t.throws(() => operator.explain('web', 'v9'), refusal('no-such-version'));
  await t.rejects(operator.drainBackend('web', '127.0.0.1:1', CALLER), refusal('not-found'));
  await t.rejects(operator.deleteUpstream('web', { by: 'test', ifMatch: 999 }), refusal('stale-revision'));
  await t.rejects(operator.putUpstream('new', { routes: [{ path: '/n' }] }, { by: 'test', ifMatch: 1 }), refusal('stale-revision'));
  await t.rejects(operator.putUpstream('new', { routes: [{}] }, CALLER), Refusal, 'a route that web has');
  t.strictSame(
    operator.upstreams().map(({ name }) => name),
    ['web'],
  );
});

t.test('an upstream is not deleted while a swap of it runs', async (t) => {
  const backends = await Backends.start(t);
  const proxy = await start(t, await backends.listen('v0', 1));
  const { operator } = proxy.control;
  await operator.swap('web', { to: 'v1', backends: named(await backends.listen('v1', 1, { health: 'fail' })) }, CALLER);
  await t.rejects(operator.deleteUpstream('web', CALLER), refusal('swap-running'));
  await operator.steer('web', 'abort', CALLER);
  await operator.deleteUpstream('web', CALLER);
  t.equal((await send(proxy.port)).status, 404);
});

t.test('a wait ends when it is reached, can never be reached, is given up, or is over', async (t) => {
  const backends = await Backends.start(t);
  const proxy = await start(t, await backends.listen('v0', 1));
  const { operator } = proxy.control;
  const never = new AbortController().signal;
  t.match(await operator.waitFor('web', 'v0', 'live', 30_000, never), { reached: true, view: { phase: 'live' } });
  await operator.register('web', { id: 'v1', backends: named(await backends.listen('v1', 1, { health: 'fail' })) }, CALLER);
  t.match(await operator.waitFor('web', 'v1', 'admitted', 50, never), { reached: false, view: { phase: 'admitting' } });
  const gone = new AbortController();
  const given = operator.waitFor('web', 'v1', 'admitted', 600_000, gone.signal);
  gone.abort();
  t.match(await given, { reached: false });
  const doomed = operator.waitFor('web', 'v1', 'live', 600_000, never);
  const rejected = operator.waitFor('web', 'v1', 'rejected', 600_000, never);
  await operator.removeVersion('web', 'v1', CALLER);
  t.match(await doomed, { reached: false, view: { phase: 'rejected' } });
  t.match(await rejected, { reached: true });
  await operator.swap('web', { to: 'v2', backends: named(await backends.listen('v2', 1)) }, CALLER);
  t.match(await operator.waitFor('web', 'v0', 'drained', 30_000, never), { reached: true, view: { phase: 'released' } });
  t.match(await operator.waitFor('web', 'v0', 'live', 30_000, never), { reached: false }, 'not ever');
  await operator.register('web', { id: 'v3', backends: named(await backends.listen('v3', 1, { health: 'fail' })) }, CALLER);
  const orphaned = operator.waitFor('web', 'v3', 'live', 600_000, never);
  const told = t.rejects(orphaned, refusal('no-such-upstream'), 'its upstream was removed');
  await operator.deleteUpstream('web', CALLER);
  await told;
});

t.test('the first step of a canary is not yet live', async (t) => {
  const backends = await Backends.start(t);
  const proxy = await start(t, await backends.listen('v0', 1));
  const { operator } = proxy.control;
  await operator.swap('web', { to: 'v1', backends: named(await backends.listen('v1', 1)), canary: [{ weight: 50, hold: null }] }, CALLER);
  await proxy.event('step', 'v1');
  t.match(await operator.waitFor('web', 'v1', 'live', 30, new AbortController().signal), { reached: false });
  await operator.steer('web', 'promote', CALLER);
  t.match(await operator.waitFor('web', 'v1', 'live', 30_000, new AbortController().signal), { reached: true });
});
