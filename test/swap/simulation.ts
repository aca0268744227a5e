import { parentPort, workerData } from 'node:worker_threads';
import { Refusal } from '../../src/errors/catalogue.ts';
import type { SwapRequest } from '../../src/swap/ports.ts';
import type { SkewPolicy } from '../../src/pool/policy.ts';
import { randomFrom } from './random.ts';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import { gatePolicy, input, OPERATOR, policy, RISE } from './fixtures.ts';
import { gateFault } from './promises.ts';
import { SwapWorld } from './world.ts';
import type { Kind } from './fixtures.ts';

const GATES = (['admission', 'step', 'step', 'release'] as const).map((at, i) => ({ name: `gate-${i}`, at }));
const STEPS = 40;
const IDS = ['v1', 'v2', 'v3', 'v4'];

/** What a worker thread is given, and what it answers with. */
export interface Task {
  first: number;
  runs: number;
}
export interface Outcome {
  failure: string | null;
  seen: Map<string, number>;
}

/** What the runs have come across: a simulation that never gets somewhere proves nothing about it. */
const seen = new Map<string, number>();
function count(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

class Run {
  readonly seed: number;
  readonly random: () => number;
  readonly world: SwapWorld;
  private swaps = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.random = randomFrom(seed);
    const keep = this.chance(0.5) ? 0 : this.whole(1, 60_000);
    const minReady = this.chance(0.3) ? 1 : null;
    const { health } = policy();
    this.world = new SwapWorld({
      health: { ...health, kind: this.chance(0.1) ? 'none' : 'http' },
      rollback: { keep },
      admission: { timeout: this.whole(1, 10_000), minReady },
      drain: { requests: this.whole(0, 5_000), tunnels: this.whole(0, 20_000) },
      skew: this.chance(0.5) ? this.skew() : null,
      mirror: this.chance(0.2) ? { to: null, percent: 100, methods: ['GET'], maxBody: 0, concurrency: 1, timeout: 1_000 } : null,
      canary: { steps: [], analysis: this.chance(0.5) ? { ...DEFAULT_ANALYSIS, required: this.chance(0.5), extend: this.whole(1, 3) } : null },
      gates: GATES.filter(() => this.chance(0.3)).map(({ name, at }) =>
        gatePolicy(name, at, { interval: 500, timeout: this.whole(100, 20_000), onTimeout: this.pick(['stop', 'pass']) }),
      ),
      preview: this.chance(0.3) ? { header: 'x-version', cookie: null, secret: null } : null,
    });
  }

  private skew(): SkewPolicy {
    return { pin: { cookie: 'v', header: null, maxAge: null, renew: false }, assets: [], for: this.whole(1, 20_000) };
  }

  chance(p: number): boolean {
    return this.random() < p;
  }

  whole(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.whole(0, list.length - 1)];
  }

  async play(): Promise<void> {
    const { world } = this;
    this.operate(world.driver.seed(input('v1'), 'seed', OPERATOR));
    await world.settle();
    for (let step = 0; step < STEPS; step++) {
      if (!world.alive) {
        count('crash');
        await world.restart(this.chance(0.3));
      }
      await this.act();
      this.check();
    }
    await this.calm();
  }

  private async act(): Promise<void> {
    const { world } = this;
    const at = this.random();
    if (at < 0.22) for (const { id } of world.state.versions) await world.probe(id, this.whole(1, RISE));
    else if (at < 0.44) this.traffic();
    else if (at < 0.58) await world.advance(this.chance(0.3) ? this.whole(0, 40_000) : this.whole(0, 500));
    else if (at < 0.7) this.disturb();
    else if (at < 0.74) {
      if (this.chance(0.5)) world.crash();
      else world.crashIn = this.whole(0, 8);
    } else this.command();
    await world.settle();
  }

  private traffic(): void {
    const { world } = this;
    for (const { slot } of this.chance(0.5) ? world.state.versions : []) {
      const requests = this.whole(0, 200);
      world.samples.answered(slot, requests, this.chance(0.2) ? this.whole(0, requests) : 0, this.pick([2, 20, 500]));
    }
    for (let i = this.whole(1, 4); i > 0; i--) {
      const kind = this.pick<Kind>(['http', 'http', 'stream', 'tunnel']);
      if (this.chance(0.6)) world.request(this.whole(0, 1), kind, this.random());
      else if (this.chance(0.5)) {
        if (world.stray(this.whole(0, 1), kind, (list) => this.pick(list))) count('stray');
      } else if (world.requests.length > 0) world.finish(this.pick(world.requests), this.pick(['completed', 'clientAborted', 'upstreamFailed']));
    }
  }

  private disturb(): void {
    const { world } = this;
    const address = `${this.pick(IDS)}.test:${this.whole(1, 2)}`;
    const what = this.whole(0, 10);
    if (what >= 8) this.outside();
    else if (what === 0) world.down.add(address);
    else if (what === 1) world.down.delete(address);
    else if (what === 2) world.lateAcks = !world.lateAcks;
    else if (what === 3) world.loseThread(this.whole(0, 1));
    else if (what === 4) world.publishFails = this.whole(1, 2);
    else if (what === 5) world.recordFails = this.whole(1, 2);
    else if (what === 6) world.publishDelay = this.pick([0, 5, 200]);
    else world.ack(this.whole(0, 1));
  }

  /** What the gates say from now on; some say nothing. */
  private outside(): void {
    const { outside } = this.world;
    for (const { name } of GATES) {
      const what = this.whole(0, 4);
      if (what === 0) outside.says.delete(name);
      else outside.say(name, this.pick(['pass', 'pass', 'wait', 'stop']), String(this.whole(0, 2)));
    }
  }

  private command(): void {
    const { driver, state } = this.world;
    const id = `swap-${this.swaps++}`;
    const what = this.whole(0, 14);
    if (what <= 4) this.operate(driver.swap(this.request(), id, OPERATOR));
    else if (what === 5) this.operate(driver.rollback(this.chance(0.7) ? null : this.pick(IDS), id, OPERATOR));
    else if (what <= 7) this.operate(driver.steer('promote', OPERATOR));
    else if (what === 8) this.operate(driver.steer('pause', OPERATOR));
    else if (what === 9) this.operate(driver.steer('resume', OPERATOR));
    else if (what === 10) this.operate(driver.steer('abort', OPERATOR));
    else if (what === 11) this.operate(driver.register(input(this.pick(IDS)), OPERATOR));
    else if (what === 12) this.operate(driver.remove(this.pick(IDS), OPERATOR));
    else if (what === 13) {
      // Kept for a restart: the file has changed, whether or not the driver could take it up.
      this.world.policy = { ...this.world.policy, skew: this.chance(0.5) ? this.skew() : null };
      this.operate(driver.setPolicy(this.world.policy, OPERATOR));
    } else {
      const weight = this.whole(0, 100);
      const ids = state.versions.map((version) => version.id);
      this.operate(driver.setSplit(ids.length < 2 ? { v1: 100 } : { [ids[0]]: weight, [ids[1]]: 100 - weight }, OPERATOR));
    }
  }

  private request(): SwapRequest {
    const to = this.pick(IDS);
    const weights = this.chance(0.5) ? [] : [this.whole(1, 40), this.whole(41, 95)];
    return { to, backends: input(to).backends, canary: weights.map((weight) => ({ weight, hold: this.chance(0.2) ? null : this.whole(0, 2_000) })) };
  }

  /** A refusal is an answer; anything else is a fault of ours. */
  private operate(asked: Promise<unknown>): void {
    asked.then(
      () => count('accepted'),
      (error: unknown) => {
        if (!(error instanceof Refusal)) this.world.violation ??= `an operator got ${String(error)}`;
        else count(error.fault.code);
        if (error instanceof Refusal && error.fault.code === 'internal' && !/journal|published|shutting/.test(error.message))
          this.world.violation ??= error.message;
      },
    );
  }

  /** The world comes to rest: from here on every swap has to end by itself. */
  private async calm(): Promise<void> {
    const { world } = this;
    Object.assign(world, { lateAcks: false, publishDelay: 0, publishFails: 0, recordFails: 0, crashIn: null });
    for (const { name } of GATES) world.outside.say(name, 'pass');
    while (!world.alive) await world.restart();
    if (world.state.swap?.kind === 'seed') world.down.clear();
    for (let round = 0; round < 80; round++) {
      const swap = world.state.swap;
      if (swap?.paused === true || swap?.canary.some(({ hold }) => hold === null) === true) this.operate(world.driver.steer('promote', OPERATOR));
      for (const thread of world.threads.keys()) world.ack(thread);
      for (const request of world.requests.filter(({ kind }) => kind === 'http')) world.finish(request);
      await world.advance(1_000);
      for (const { id } of world.state.versions) await world.probe(id, RISE);
      this.check();
      if (this.atRest()) {
        for (const { type } of world.events) count(type);
        return;
      }
    }
    world.violation ??= `it never ends: ${JSON.stringify(world.state.swap?.state)} ${world.state.versions.map(({ id, phase }) => `${id}=${phase}`).join(' ')}`;
    this.check();
  }

  private atRest(): boolean {
    const { swap, versions } = this.world.state;
    const ended = swap === null || ['done', 'rejected', 'rolled-back', 'aborted'].includes(swap.state);
    return ended && !versions.some(({ phase }) => phase === 'admitting' || phase === 'draining');
  }

  private check(): void {
    this.world.violation ??= gateFault(this.world.state.swap, this.world.policy.gates);
    const { violation, log, state, events } = this.world;
    const fault = events.find(({ type, data }) => type === 'error' && !/journal|published|disk full|dead/.test(String(data.error)));
    if (violation === null && fault === undefined) return;
    const what = violation ?? `the driver reported: ${JSON.stringify(fault)}`;
    throw new Error(
      `seed ${this.seed}: ${what}\nSWAP_SIMULATION_SEED=${this.seed} SWAP_SIMULATION_RUNS=1\n${log.slice(-25).join('\n')}\n${JSON.stringify(state.swap)}`,
    );
  }
}

/** Plays runs with the seeds from `first` on; ends with the first promise that is broken. */
async function simulate({ first, runs }: Task): Promise<Outcome> {
  for (let seed = first; seed < first + runs; seed++) {
    try {
      await new Run(seed).play();
    } catch (error) {
      return { failure: error instanceof Error ? error.message : String(error), seen };
    }
  }
  return { failure: null, seen };
}

// The test library follows every promise, which takes longer than the simulation: so it runs in a thread of its own.
parentPort?.postMessage(await simulate(workerData as Task));
