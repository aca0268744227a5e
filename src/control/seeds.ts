import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SeedVersion } from '../config/config.ts';
import { messageOf } from '../errors/message.ts';
import { LaunchError } from '../launch/launch.ts';
import type { Launch } from '../launch/launch.ts';
import type { Launches } from '../launch/launches.ts';
import type { Served } from './fleet.ts';
import { backendsOf, isPortless } from './launching.ts';

const AGAIN_MS = 5_000;
const BY = 'config';

export interface SeedParts {
  readonly launches: Launches;
  readonly served: Served;
  readonly seed: SeedVersion;
  /** The upstream has gone, or the proxy ends. */
  readonly stop: AbortSignal;
  readonly tell: (level: 'error', message: string) => void;
}

/** A seed version whose processes are started, again and again until they listen. Then it is registered. */
export class Seed {
  /** Whether a try has failed. */
  hasFailed = false;
  /** The try that is under way, or was last: resolves when its processes listen (true), or nothing of it is left. */
  tried: Promise<boolean> = Promise.resolve(false);
  private readonly parts: SeedParts;
  private readonly pause: number;
  /** Resolves when a deploy of this very version, which goes before its seed, has its swap or has failed. */
  private deploy: Promise<void> | null = null;
  /** Of the try that is under way, until it is to be registered. */
  private launch: Launch | null = null;

  /** @param pause milliseconds before what could not be started is started again. */
  constructor(parts: SeedParts, pause: number = AGAIN_MS) {
    this.parts = parts;
    this.pause = pause;
  }

  /** Resolves when it is there, or nobody needs it any more. */
  async run(): Promise<void> {
    while (this.isWanted()) {
      if (this.deploy !== null) await this.deploy;
      else if (await (this.tried = this.try())) return;
      if (this.isWanted()) await sleep(this.pause, undefined, { signal: this.parts.stop }).catch(() => undefined);
    }
  }

  /** Leaves the launch to a deploy until that is over: a try that is under way is ended. Resolves when nothing is in its way. */
  async giveWay(over: Promise<void>): Promise<void> {
    const deploy = over.finally(() => {
      if (this.deploy === deploy) this.deploy = null;
    });
    this.deploy = deploy;
    if (this.launch !== null) void this.parts.launches.end(this.launch);
    await this.tried;
  }

  private isWanted(): boolean {
    const { served, seed, stop } = this.parts;
    // What a deploy has made live meanwhile goes before what was to be live first.
    return !stop.aborted && !(seed.id === served.config.live ? hasBegun(served) : isThere(served, seed.id));
  }

  private async try(): Promise<boolean> {
    const { launches, served, seed, stop, tell } = this.parts;
    const { name, live, policy } = served.config;
    const { launch: spec, id } = seed;
    if (spec === null) return false;
    let launch: Launch | null = null;
    try {
      launch = await launches.prepare({ upstream: name, version: id, spec, by: BY, portless: isPortless(policy) });
      this.launch = launch;
      if (this.deploy === null) await launch.start(performance.now() + spec.startTimeout);
      if (this.deploy !== null) throw new Error('a deploy goes before it');
      this.launch = null;
      const input = { id, backends: backendsOf(launch.addresses) };
      if (id === live) await served.driver.seed(input, randomUUID(), { by: BY });
      else await served.driver.register(input, { by: BY });
      launch.claimed = true;
      launches.follow(
        name,
        served.driver.state.versions.map((version) => version.id),
      );
      return true;
    } catch (error) {
      this.launch = null;
      if (launch !== null) await launches.end(launch);
      this.hasFailed = true;
      if (stop.aborted || this.deploy !== null) return false;
      const said = error instanceof LaunchError ? error.processes.flatMap(({ output }) => output).join('\n') : '';
      tell('error', `${id} of ${name} could not be launched, it is tried again: ${messageOf(error)}\n${said}`.trim());
      return false;
    }
  }
}

function hasBegun({ driver: { state } }: Served): boolean {
  return state.swap !== null || state.split.length > 0;
}

/** Now, or in the history. */
function isThere({ driver: { state } }: Served, version: string): boolean {
  return state.versions.some(({ id }) => id === version) || state.history.some((past) => past.version.id === version);
}

/** The seeds that are being launched, of all upstreams. */
export class Seeds {
  private readonly seeds = new Map<string, Seed>();

  /** Whether one of them is being launched for the first time. */
  get areFresh(): boolean {
    return [...this.seeds.values()].some(({ hasFailed }) => !hasFailed);
  }

  launch(parts: SeedParts): void {
    const { name } = parts.served.config;
    const key = keyOf(name, parts.seed.id);
    const seed = new Seed(parts);
    this.seeds.set(key, seed);
    void seed
      .run()
      .catch((error: unknown) => parts.tell('error', `${parts.seed.id} of ${name} is not launched: ${String(error)}`))
      .finally(() => {
        // An upstream of that name may have come anew.
        if (this.seeds.get(key) === seed) this.seeds.delete(key);
      });
  }

  /** Resolves when the try to launch this one that is under way has ended, well or not; at once when there is none. */
  async tried(name: string, version: string): Promise<void> {
    await this.seeds.get(keyOf(name, version))?.tried;
  }

  /** A deploy goes before the seed of that very version until it is over. Resolves when nothing of the seed runs. */
  async giveWay(name: string, version: string, over: Promise<void>): Promise<void> {
    await this.seeds.get(keyOf(name, version))?.giveWay(over);
  }
}

function keyOf(upstream: string, version: string): string {
  return `${upstream}\n${version}`;
}
