import { parseAddress } from '../pool/address.ts';
import type { Address } from '../pool/address.ts';
import type { HealthPolicy } from '../pool/policy.ts';
import { nextStanding } from './_verdict.ts';
import type { Standing } from './_verdict.ts';
import type { BackendHealth, Probe, ProbeMode } from './evidence.ts';
import { probeOnce } from './probe.ts';

const EVIDENCE = 5;
const CONCURRENCY = 64;
const JITTER = 0.1;

/** Told after every probe, and at once for health checks of kind `none`; `before` is the health before it. */
export type Report = (key: string, now: BackendHealth, before: BackendHealth['health']) => void;

export interface CheckerParts {
  readonly report: Report;
  /** Resolves always, and soon after the signal. */
  readonly probe?: (target: Address, policy: HealthPolicy, signal: AbortSignal) => Promise<Probe>;
  /** Calls `run` once after `ms`; the answer cancels it. */
  readonly after?: (ms: number, run: () => void) => () => void;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Probes at a time; more wait for their turn. */
  readonly concurrency?: number;
}

interface Watched {
  readonly key: string;
  target: Address;
  policy: HealthPolicy;
  mode: ProbeMode;
  standing: Standing;
  probes: readonly Probe[];
  /** Cancels the timer of the next probe. */
  cancel: (() => void) | null;
  /** Aborts the probe that is on its way. */
  running: AbortController | null;
  waiting: boolean;
  /** Probe again as soon as the one on its way has ended. */
  again: boolean;
}

/**
 * Probes backends for as long as they are watched: never two probes of one backend at a time, at most `concurrency` in all.
 * A key stands for (upstream, version, backend): an address in two versions is watched twice.
 */
export class Checker {
  private readonly watched = new Map<string, Watched>();
  private readonly queue: Watched[] = [];
  private active = 0;
  private readonly parts: Required<CheckerParts>;

  constructor(parts: CheckerParts) {
    this.parts = { probe: probeOnce, after: afterTimer, random: Math.random, concurrency: CONCURRENCY, ...parts };
  }

  /**
   * Watches a backend, or changes how it is watched. `admitting` and `fresh` probe at once and begin its run of passes and its
   * health anew; `steady` keeps both. Evidence of former probes is kept.
   */
  watch(key: string, address: string, policy: HealthPolicy, mode: ProbeMode): void {
    const target = parseAddress(address);
    if (target === null) throw new TypeError(`not an address: ${address}`);
    const known = this.watched.get(key);
    const entry = known ?? this.add(key, target, policy, mode);
    const policyChanged = entry.policy !== policy;
    Object.assign(entry, { target, policy, mode });
    if (mode !== 'steady') entry.standing = { health: 'unknown', run: 0 };
    if (policy.kind === 'none') this.believe(entry);
    else if (mode !== 'steady') this.restart(entry);
    else if (known === undefined || policyChanged) this.due(entry);
  }

  /** Forgets a backend; a probe on its way is aborted and not reported. */
  stop(key: string): void {
    const entry = this.watched.get(key);
    if (entry === undefined) return;
    this.watched.delete(key);
    this.rest(entry);
    entry.running?.abort();
  }

  /** null when it is not watched. */
  health(key: string): BackendHealth | null {
    const entry = this.watched.get(key);
    return entry === undefined ? null : view(entry);
  }

  /** Stops everything. */
  close(): void {
    for (const key of this.watched.keys()) this.stop(key);
  }

  private add(key: string, target: Address, policy: HealthPolicy, mode: ProbeMode): Watched {
    const entry: Watched = {
      key,
      target,
      policy,
      mode,
      standing: { health: 'unknown', run: 0 },
      probes: [],
      cancel: null,
      running: null,
      waiting: false,
      again: false,
    };
    this.watched.set(key, entry);
    return entry;
  }

  private believe(entry: Watched): void {
    this.rest(entry);
    entry.running?.abort();
    const before = entry.standing.health;
    entry.standing = { health: 'healthy', run: 1 };
    // Not from within watch(): its caller may be in the middle of a decision.
    queueMicrotask(() => {
      if (this.watched.get(entry.key) === entry && entry.policy.kind === 'none') this.parts.report(entry.key, view(entry), before);
    });
  }

  /** A probe that began before does not count any more. */
  private restart(entry: Watched): void {
    if (entry.running === null) return this.due(entry);
    entry.again = true;
    entry.running.abort();
  }

  private rest(entry: Watched): void {
    entry.cancel?.();
    entry.cancel = null;
    entry.again = false;
    if (entry.waiting) this.queue.splice(this.queue.indexOf(entry), 1);
    entry.waiting = false;
  }

  private due(entry: Watched): void {
    if (entry.waiting) return;
    if (entry.running !== null) {
      entry.again = true;
      return;
    }
    this.rest(entry);
    entry.waiting = true;
    this.queue.push(entry);
    this.serve();
  }

  private serve(): void {
    while (this.active < this.parts.concurrency) {
      const entry = this.queue.shift();
      if (entry === undefined) return;
      entry.waiting = false;
      void this.run(entry);
    }
  }

  private async run(entry: Watched): Promise<void> {
    const running = new AbortController();
    entry.running = running;
    this.active++;
    try {
      this.finish(entry, await this.parts.probe(entry.target, entry.policy, running.signal), running.signal.aborted);
    } finally {
      this.active--;
      this.serve();
    }
  }

  private finish(entry: Watched, probe: Probe, aborted: boolean): void {
    entry.running = null;
    // The next probe is arranged first: the report may change how, or whether, this backend is watched.
    if (entry.again) this.due(entry);
    else if (!aborted) this.schedule(entry, probe.ms);
    if (!aborted) this.judge(entry, probe);
  }

  private judge(entry: Watched, probe: Probe): void {
    const { mode, policy, standing } = entry;
    const rise = mode === 'fresh' && standing.health !== 'healthy' ? 1 : policy.rise;
    entry.standing = nextStanding(standing, probe, { rise, fall: policy.fall, mayStop: mode === 'steady' });
    entry.probes = [...entry.probes.slice(1 - EVIDENCE), probe];
    if (mode === 'fresh' && entry.standing.health === 'healthy') entry.mode = 'steady';
    this.parts.report(entry.key, view(entry), standing.health);
  }

  private schedule(entry: Watched, took: number): void {
    const { mode, policy } = entry;
    const interval = mode === 'steady' ? policy.interval * (1 - JITTER + 2 * JITTER * this.parts.random()) : policy.admitInterval;
    entry.cancel = this.parts.after(Math.max(0, interval - took), () => {
      entry.cancel = null;
      this.due(entry);
    });
  }
}

function view({ standing, probes }: Watched): BackendHealth {
  return { health: standing.health, run: standing.run, probes };
}

function afterTimer(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
