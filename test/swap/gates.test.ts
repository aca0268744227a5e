import t from 'tap';
import type { GatePolicy } from '../../src/pool/gates.ts';
import type { UpstreamPolicy } from '../../src/pool/policy.ts';
import { gatePolicy as gate, OPERATOR, RISE } from './fixtures.ts';
import { canary, steps, to, withLive } from './upstream.ts';
import type { SwapWorld } from './world.ts';

async function swapping(gates: GatePolicy[], options: Partial<UpstreamPolicy> = {}, more: Parameters<typeof to>[1] = {}): Promise<SwapWorld> {
  const world = await withLive({ gates, ...options });
  await world.driver.swap(to('v2', more), 's1', OPERATOR);
  await world.settle();
  return world;
}

const facts = (world: SwapWorld, id: string | null): string =>
  world.driver
    .explain(id)
    ?.facts.map(({ fact, blocks }) => `${blocks}: ${fact}`)
    .join('\n') ?? '';
const said = (world: SwapWorld): unknown[] => world.state.swap?.steps.filter(({ name }) => name === 'gate').map(({ evidence }) => evidence.decision) ?? [];

t.test('before the admission: the version is not probed before the gate has passed it, and its time begins then', async (t) => {
  const world = await swapping([gate('change', 'admission')]);
  t.match(world.outside.asked, [
    { id: 's1.admission.change', gate: 'change', before: 'admission', upstream: 'web', version: 'v2', swap: { id: 's1', from: ['v1'], weight: 0 } },
  ]);
  t.equal(world.probed.get(world.version('v2').slot), undefined);
  t.equal(world.version('v2').admitBy, null);
  t.match(facts(world, 'v2'), /admitted: it waits for the gate change, for another 60\.0 s; it has not answered yet/);
  await world.advance(50_000);
  t.equal(world.outside.asked.length, 1, 'one question at a time');
  await world.driver.steer('promote', OPERATOR);
  t.equal(world.version('v2').admitBy, world.now + 30_000, 'promote passes it');
  await world.probe('v2', RISE);
  t.equal(world.phase('v2'), 'live');
});

t.test('wait is asked again, pass goes on, gates at one point are asked one after the other', async (t) => {
  const world = await withLive({ gates: [gate('one', 'step'), gate('two', 'step')] });
  world.outside.say('one', 'wait', 'the office is closed');
  world.outside.say('two', 'pass');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match(world.state.swap, { state: 'standby' });
  await world.advance(12_000);
  t.equal(world.outside.asked.length, 3);
  t.same(new Set(world.outside.asked.map(({ id }) => id)), new Set(['s1.0.step.one']), 'each question has the same id');
  t.match(facts(world, 'v2'), /live: it waits for the gate one, for another 48\.0 s: the office is closed/);
  t.same(said(world), ['wait'], 'a wait is told once');
  world.outside.say('one', 'pass');
  await world.advance(5_000);
  t.equal(world.phase('v2'), 'live');
  t.same(said(world), ['wait', 'pass', 'pass']);
  t.match(world.outside.asked.at(-1), { gate: 'two', nextWeight: 100 });
});

t.test('stop before a step goes back like an abort, with the reason', async (t) => {
  const world = await withLive({ gates: [gate('quality', 'step')] });
  world.outside.say('quality', 'pass');
  await world.driver.swap(to('v2', { canary: canary(10, 50) }), 's1', OPERATOR);
  await world.probe('v2', RISE);
  world.outside.say('quality', 'stop', 'conversion is down');
  await world.advance(1_000);
  t.match(world.state.swap, { state: 'rolled-back', reason: 'gate quality: conversion is down' });
  t.match(world.outside.asked.at(-1), { id: 's1.1.step.quality', nextWeight: 50, swap: { weight: 10 }, lastStep: { name: 'weight 10' } });
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
  t.match(world.events.findLast(({ type }) => type === 'gate')?.data, { gate: 'quality', decision: 'stop', before: 'step' });
  t.equal(world.violation, null);
});

t.test('stop before the admission: the version is rejected without a probe', async (t) => {
  const world = await withLive({ gates: [gate('change', 'admission')] });
  world.outside.say('change', 'stop', 'no ticket');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.settle();
  t.match(world.state.swap, { state: 'rolled-back', reason: 'gate change: no ticket' });
  t.equal(world.phase('v2'), 'rejected');
});

t.test('time without a pass counts as stop, or as pass, as it is configured', async (t) => {
  for (const [onTimeout, state] of [
    ['stop', 'rolled-back'],
    ['pass', 'done'],
  ] as const) {
    const world = await withLive({ gates: [gate('slow', 'step', { onTimeout })] });
    world.outside.say('slow', 'wait', 'soon');
    await world.driver.swap(to('v2'), 's1', OPERATOR);
    await world.probe('v2', RISE);
    await world.advance(59_999);
    t.equal(world.state.swap?.state, 'standby');
    await world.advance(101);
    t.equal(world.state.swap?.state, state);
    t.match(world.state.swap?.steps.findLast(({ name }) => name === 'gate')?.evidence, { decision: onTimeout, reason: 'no pass in 60 s: soon' });
  }
});

t.test('before the release: the old version stays drained until the gate has passed it, and a rollback to it is still there', async (t) => {
  const world = await withLive({ gates: [gate('backup', 'release')] });
  world.outside.say('backup', 'wait', 'the backup runs');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(100);
  t.equal(world.phase('v1'), 'drained');
  t.equal(world.state.swap?.state, 'done');
  t.match(world.outside.asked.at(-1), { gate: 'backup', before: 'release', version: 'v1', swap: { to: 'v2' } });
  t.match(facts(world, 'v1'), /released: it waits for the gate backup, for another 59\.\d s: the backup runs/);
  world.outside.say('backup', 'pass');
  await world.advance(5_000);
  t.equal(world.phase('v1'), 'released');
  t.same(steps(world).slice(-2), ['gate', 'released']);

  world.outside.say('backup', 'stop', 'keep it');
  await world.driver.swap(to('v3'), 's2', OPERATOR);
  await world.probe('v3', RISE);
  await world.advance(600_000);
  t.equal(world.phase('v2'), 'drained', 'it is kept');
  t.match(facts(world, 'v2'), /released: the gate backup has said stop: keep it; remove the version to release it/);
  await world.driver.rollback(null, 's3', OPERATOR);
  await world.probe('v2', RISE);
  t.equal(world.phase('v2'), 'live');
  await world.advance(100);
  t.equal(world.phase('v3'), 'released', 'what a rollback lets go has no gate');
  t.equal(world.violation, null);
});

t.test('a version that a gate keeps is released when a person removes it', async (t) => {
  const world = await withLive({ gates: [gate('backup', 'release')] });
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(100);
  await world.driver.remove('v1', OPERATOR);
  t.equal(world.phase('v1'), 'released');
});

t.test('a crash at each of the gates: it is asked again by the same id, and its time goes on', async (t) => {
  const world = await swapping([gate('a', 'admission'), gate('s', 'step'), gate('r', 'release')], {}, { canary: canary(20) });
  const again = async (): Promise<void> => {
    const before = world.outside.asked.at(-1);
    await world.advance(1_000);
    world.crash();
    await world.restart();
    t.match(world.outside.asked.at(-1), { id: before?.id, until: before?.until });
  };
  await again();
  t.equal(world.probed.get(world.version('v2').slot), undefined, 'and it is still not probed');
  world.outside.say('a', 'pass');
  world.crash();
  await world.restart();
  await world.advance(5_000);
  await world.probe('v2', RISE);
  t.equal(world.state.swap?.state, 'standby');
  world.crash();
  await world.restart();
  await world.probe('v1', RISE);
  await world.probe('v2', RISE);
  t.equal(world.outside.asked.at(-1)?.id, 's1.0.step.s');
  await world.driver.steer('promote', OPERATOR);
  t.equal(world.state.split[0].weight, 20);
  await world.advance(1_000);
  t.equal(world.outside.asked.at(-1)?.id, 's1.1.step.s');
  await again();
  await world.probe('v1', RISE);
  await world.probe('v2', RISE);
  await world.driver.steer('promote', OPERATOR);
  await world.advance(100);
  t.match(world.state.swap?.state, 'done');
  await again();
  await world.driver.remove('v1', OPERATOR);
  t.equal(world.phase('v1'), 'released');
  t.equal(world.violation, null);
});

t.test('what waits at a gate can be aborted, paused and resumed; a canary that waits is still judged by its health', async (t) => {
  const aborted = await swapping([gate('change', 'admission')]);
  await aborted.driver.steer('abort', OPERATOR);
  t.match([aborted.state.swap?.state, aborted.phase('v2')], ['aborted', 'rejected']);
  const paused = await swapping([gate('s', 'step')], {}, { canary: canary(20) });
  await paused.probe('v2', RISE);
  await paused.driver.steer('pause', OPERATOR);
  await paused.driver.steer('resume', OPERATOR);
  t.equal(paused.state.swap?.state, 'standby');
  await paused.driver.steer('promote', OPERATOR);
  await paused.advance(1_000);
  t.equal(paused.state.split[0].weight, 20, 'it waits before the last step');
  for (const address of ['v2.test:1', 'v2.test:2']) paused.down.add(address);
  await paused.probe('v2', 3);
  t.equal(paused.state.swap?.state, 'rolled-back');
});

t.test('a gate that is taken out of the configuration holds nothing up; a rollback has none', async (t) => {
  const world = await withLive({ gates: [gate('s', 'step')], rollback: { keep: 60_000 } });
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.equal(world.state.swap?.state, 'standby');
  await world.driver.setPolicy({ ...world.policy, gates: [] }, OPERATOR);
  t.equal(world.phase('v2'), 'live');
  await world.driver.setPolicy({ ...world.policy, gates: [gate('s', 'step'), gate('a', 'admission')] }, OPERATOR);
  await world.advance(100);
  await world.driver.rollback(null, 's2', OPERATOR);
  await world.probe('v1');
  t.equal(world.phase('v1'), 'live');
});

t.test('a version that is registered already is admitted while its swap waits before the admission', async (t) => {
  const world = await withLive({ gates: [gate('a', 'admission')] });
  await world.driver.register({ id: 'v2', backends: to('v2').backends ?? [] }, OPERATOR);
  await world.driver.swap({ to: 'v2' }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match([world.phase('v2'), world.state.swap?.state], ['standby', 'admitting']);
  await world.driver.steer('promote', OPERATOR);
  t.equal(world.phase('v2'), 'live');
  const late = await withLive({ gates: [gate('a', 'admission', { timeout: 600_000 })] });
  await late.driver.register({ id: 'v2', backends: to('v2').backends ?? [] }, OPERATOR);
  await late.driver.swap({ to: 'v2' }, 's1', OPERATOR);
  await late.advance(30_000);
  t.match([late.phase('v2'), late.state.swap?.state], ['rejected', 'rejected'], 'its own time is over');
});
