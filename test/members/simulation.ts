import { parentPort, workerData } from 'node:worker_threads';
import { Refusal } from '../../src/errors/catalogue.ts';
import { membersAsBackends } from '../../src/pool/version.ts';
import { policy } from '../swap/fixtures.ts';
import { randomFrom } from '../swap/random.ts';
import { WorkersWorld } from './world.ts';

const STEPS = 40;
const IDS = ['v1', 'v2', 'v3'];
const ASKER = { by: 'test' };

export interface Task {
  first: number;
  runs: number;
}
export interface Outcome {
  failure: string | null;
  seen: Map<string, number>;
}

class Run {
  private readonly seed: number;
  readonly world: WorkersWorld;
  private swaps = 0;

  constructor(seed: number) {
    this.seed = seed;
    const random = randomFrom(seed);
    const keep = random() < 0.5 ? 0 : Math.floor(random() * 30_000);
    this.world = new WorkersWorld(
      random,
      policy({ admission: { timeout: 20_000, minReady: 1 }, drain: { requests: 15_000, tunnels: 15_000 }, rollback: { keep } }),
    );
  }

  private chance(p: number): boolean {
    return this.world.random() < p;
  }

  private pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.world.random() * list.length)];
  }

  async play(): Promise<void> {
    const { world } = this;
    await world.start();
    this.operate(world.driver.seed({ id: 'v1', backends: membersAsBackends('v1', 2) }, 'seed', ASKER));
    for (const n of [1, 2]) world.hire(`v1-${n}`, 'v1');
    await world.advance(3_000);
    for (let step = 0; step < STEPS; step++) {
      this.act();
      this.work();
      await world.advance(Math.floor(world.random() * (this.chance(0.15) ? 15_000 : 1_500)));
      if (!world.up && this.chance(0.6)) await world.start();
      this.check();
    }
    await this.calm();
  }

  private work(): void {
    const { world } = this;
    for (const member of world.members) {
      if (this.chance(0.5)) world.take(member);
      if (this.chance(0.4)) world.finish(member, this.chance(0.1) ? 'failed' : 'completed');
    }
  }

  private act(): void {
    const { world } = this;
    const what = world.random();
    const member = this.pick(world.members);
    if (what < 0.3) this.command();
    else if (what < 0.4 && world.members.length < 12) {
      const version = this.pick(IDS) ?? 'v1';
      world.hire(`${version}-${1 + Math.floor(world.random() * 3)}`, version);
    } else if (what < 0.48 && member !== undefined) world.kill(member);
    else if (what < 0.6 && member !== undefined) member.cutOff = !member.cutOff;
    else if (what < 0.66 && world.up) world.crash();
    else if (what < 0.7) world.saveFails = 1;
    else if (what < 0.75) world.delay = this.pick([50, 500, 4_000]) ?? 50;
    else if (what < 0.8) world.loss = this.pick([0, 0.1, 0.5]) ?? 0;
  }

  private command(): void {
    const { world } = this;
    if (!world.up) return;
    const { driver } = world;
    const id = `swap-${this.swaps++}`;
    const to = this.pick(IDS) ?? 'v1';
    const what = world.random();
    const canary = this.chance(0.3) ? [{ weight: 50, hold: 2_000 }] : [];
    if (what < 0.6) this.operate(driver.swap({ to, backends: membersAsBackends(to, 2), canary }, id, ASKER));
    else if (what < 0.75) this.operate(driver.rollback(null, id, ASKER));
    else if (what < 0.85) this.operate(driver.steer('abort', ASKER));
    else if (what < 0.95) this.operate(driver.hold(!driver.state.held, ASKER));
    else this.operate(driver.remove(to, ASKER));
  }

  private operate(asked: Promise<unknown>): void {
    asked.catch((error: unknown) => {
      if (!(error instanceof Refusal) && !/dead|disk full/.test(String(error))) this.world.broken(`an operator got ${String(error)}`);
    });
  }

  /** The world comes to rest: from here on all ends by itself. */
  private async calm(): Promise<void> {
    const { world } = this;
    Object.assign(world, { loss: 0, delay: 50, saveFails: 0 });
    if (!world.up) await world.start();
    for (const member of world.members) member.cutOff = false;
    for (let round = 0; round < 60; round++) {
      for (const member of world.members) while (member.leases > 0) world.finish(member);
      for (const { id } of world.disk.versions) if (!world.members.some(({ version }) => version === id)) world.hire(`${id}-1`, id);
      await world.advance(2_000);
      this.check();
      const { swap, versions } = world.disk;
      const ended = swap === null || ['done', 'rejected', 'rolled-back', 'aborted'].includes(swap.state);
      if (ended && !versions.some(({ phase }) => phase === 'draining' || phase === 'admitting')) return;
    }
    world.broken(`it never ends: ${world.disk.swap?.state ?? '-'} ${world.disk.versions.map(({ id, phase }) => `${id}=${phase}`).join(' ')}`);
    this.check();
  }

  private check(): void {
    const { violation, log } = this.world;
    if (violation !== null)
      throw new Error(`seed ${this.seed}: ${violation}\nMEMBERS_SIMULATION_SEED=${this.seed} MEMBERS_SIMULATION_RUNS=1\n${log.slice(-20).join('\n')}`);
  }
}

async function simulate({ first, runs }: Task): Promise<Outcome> {
  const seen = new Map<string, number>();
  for (let seed = first; seed < first + runs; seed++) {
    const run = new Run(seed);
    try {
      await run.play();
    } catch (error) {
      return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error), seen };
    }
    for (const [what, times] of run.world.seen) seen.set(what, (seen.get(what) ?? 0) + times);
  }
  return { failure: null, seen };
}

parentPort?.postMessage(await simulate(workerData as Task));
