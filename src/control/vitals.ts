import { availableOf } from '../health/availability.ts';
import { Checker } from '../health/checker.ts';
import type { BackendHealth, Probe, ProbeMode } from '../health/evidence.ts';
import { probeOnce } from '../health/probe.ts';
import { OutlierWatch } from '../health/outlier.ts';
import type { SuspectGroup } from '../health/outlier.ts';
import { effectiveWeights } from '../health/slow-start.ts';
import type { ControlLedger } from '../ledger/control.ts';
import { addressText } from '../pool/address.ts';
import type { Address } from '../pool/address.ts';
import type { HealthPolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { Backend, Version } from '../pool/version.ts';

const SLOW_START_TICK_MS = 250;
const FULL_WEIGHT = 1000;

interface Watched {
  readonly upstream: string;
  readonly version: Version;
  policy: UpstreamPolicy;
  /** Addresses that have passed admission. */
  readonly trusted: Set<string>;
  /** Available addresses, by when they became that, for the first time or again (milliseconds on the vitals' clock). */
  readonly since: Map<string, number>;
  /** Their weights may not be the full ones. */
  eased: boolean;
  /** Addresses that an operator has taken out. */
  readonly stopped: Set<string>;
}

export interface VitalsParts {
  readonly ledger: ControlLedger;
  /** A probe has ended; `changed` = the health is another one. */
  readonly onProbe: (upstream: string, version: string, address: string, now: BackendHealth, changed: boolean) => void;
  /** Why a backend cannot serve, whatever answers at its address; null = a probe tells. */
  readonly complaint: (address: string) => string | null;
  /** What went wrong with a backend before, which tells more than that nothing answers at its address; null = nothing known. */
  readonly lately: (address: string) => string | null;
  readonly onEjected: (upstream: string, version: string, address: string, until: number | null) => void;
}

/** What is observed of backends: probes, failures, ejections; written to the ledger as availability and effective weight. */
export class Vitals {
  private readonly parts: VitalsParts;
  private readonly checker: Checker;
  private readonly outliers: OutlierWatch;
  private readonly watched = new Map<string, Watched>();
  private readonly slowStart: NodeJS.Timeout;

  constructor(parts: VitalsParts) {
    this.parts = parts;
    this.checker = new Checker({
      report: (key, now, before) => this.probed(key, now, before),
      probe: (target, policy, signal) => this.ask(target, policy, signal),
    });
    this.outliers = new OutlierWatch({
      now: () => performance.now(),
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      groups: () => this.suspects(),
      changed: (key, until) => this.ejected(key, until),
    });
    this.slowStart = setInterval(() => this.ease(), SLOW_START_TICK_MS);
    this.slowStart.unref();
  }

  close(): void {
    clearInterval(this.slowStart);
    this.outliers.close();
    this.checker.close();
  }

  private async ask(target: Address, policy: HealthPolicy, signal: AbortSignal): Promise<Probe> {
    const address = addressText(target);
    // Where a process that was launched has ended, somebody else may have come to listen.
    const complaint = this.parts.complaint(address);
    if (complaint !== null) return { at: Date.now(), ok: false, status: null, ms: 0, error: complaint };
    const probe = await probeOnce(target, policy, signal);
    // A process that ends again and again is between two ends as often as not.
    const lately = probe.ok || probe.status !== null ? null : this.parts.lately(address);
    return lately === null ? probe : { ...probe, error: `${probe.error ?? 'no answer'} (${lately})` };
  }

  probe(upstream: string, version: Version, policy: UpstreamPolicy, mode: ProbeMode | 'off'): void {
    const entry = this.entry(upstream, version, policy);
    entry.policy = policy;
    for (const backend of version.backends) {
      const key = keyOf(upstream, version.id, backend.address);
      if (mode === 'off') this.checker.stop(key);
      else this.checker.watch(key, backend.address, policy.health, mode);
    }
    this.assess(entry);
  }

  /** Another policy, which asks the same of probes. */
  decideBy(upstream: string, version: Version, policy: UpstreamPolicy): void {
    const entry = this.entry(upstream, version, policy);
    entry.policy = policy;
    this.assess(entry);
  }

  trust(upstream: string, version: Version, policy: UpstreamPolicy, addresses: readonly string[]): void {
    const entry = this.entry(upstream, version, policy);
    for (const address of addresses) entry.trusted.add(address);
    this.assess(entry);
  }

  /**
   * An operator's soft stop: until its version goes, or the proxy is started again.
   * @returns `none` when there is no such backend, `last` when a version with traffic would have none left.
   */
  stop(upstream: string, address: string): 'stopped' | 'none' | 'last' {
    const having = [...this.watched.values()].filter(
      (entry) => entry.upstream === upstream && entry.version.backends.some((backend) => backend.address === address),
    );
    if (having.length === 0) return 'none';
    const last = having.some(({ version }) => {
      const available = version.backends.filter(({ slot }) => this.parts.ledger.available(slot));
      return available.length === 1 && available[0].address === address;
    });
    if (last) return 'last';
    for (const entry of having) {
      entry.stopped.add(address);
      this.assess(entry);
    }
    return 'stopped';
  }

  isStopped(upstream: string, version: string, address: string): boolean {
    return this.watched.get(versionKey(upstream, version))?.stopped.has(address) === true;
  }

  /** Does nothing when another version has come under the same name since. */
  forget(upstream: string, version: Version): void {
    if (this.watched.get(versionKey(upstream, version.id))?.version.slot !== version.slot) return;
    for (const { address } of version.backends) this.checker.stop(keyOf(upstream, version.id, address));
    this.watched.delete(versionKey(upstream, version.id));
  }

  health(upstream: string, version: Version): ReadonlyMap<string, BackendHealth> {
    const found = new Map<string, BackendHealth>();
    for (const { address } of version.backends) {
      const health = this.checker.health(keyOf(upstream, version.id, address));
      if (health !== null) found.set(address, health);
    }
    return found;
  }

  isEjected(upstream: string, version: string, address: string): boolean {
    return this.outliers.isEjected(keyOf(upstream, version, address));
  }

  private entry(upstream: string, version: Version, policy: UpstreamPolicy): Watched {
    const key = versionKey(upstream, version.id);
    const known = this.watched.get(key);
    if (known?.version.slot === version.slot) return known;
    if (known !== undefined) this.forget(upstream, known.version);
    const entry: Watched = { upstream, version, policy, trusted: new Set(), since: new Map(), eased: false, stopped: new Set() };
    for (const { slot } of version.backends) this.parts.ledger.setWeight(slot, FULL_WEIGHT);
    this.watched.set(key, entry);
    return entry;
  }

  private probed(key: string, now: BackendHealth, before: BackendHealth['health']): void {
    const [upstream, version, address] = key.split('\n');
    const entry = this.watched.get(versionKey(upstream, version));
    if (entry === undefined) return;
    if (now.health !== before) this.assess(entry);
    this.parts.onProbe(upstream, version, address, now, now.health !== before);
  }

  /** Writes the availability of a version's backends to the ledger: every data thread sees it at its next pick. */
  private assess(entry: Watched): void {
    const { upstream, version, policy, trusted, stopped } = entry;
    const available = availableOf(
      version.backends.map(({ address }) => {
        const key = keyOf(upstream, version.id, address);
        return {
          admitted: trusted.has(address),
          health: this.checker.health(key)?.health ?? 'unknown',
          ejected: this.outliers.isEjected(key),
          stopped: stopped.has(address),
        };
      }),
      policy.health.failOpen,
    );
    const now = performance.now();
    for (const [i, { address }] of version.backends.entries()) {
      if (available[i] && !entry.since.has(address)) entry.since.set(address, now);
      else if (!available[i]) entry.since.delete(address);
    }
    // What comes back begins with its first weight, not with the one it had.
    if (policy.slowStart.window > 0) this.easeOne(entry, now);
    for (const [i, { slot }] of version.backends.entries()) this.parts.ledger.setAvailable(slot, available[i]);
  }

  private *suspects(): Iterable<SuspectGroup> {
    for (const { upstream, version, policy, trusted } of this.watched.values()) {
      if (policy.outlier.failures === 0) continue;
      const usable = (backend: Backend): boolean =>
        trusted.has(backend.address) && this.checker.health(keyOf(upstream, version.id, backend.address))?.health !== 'unhealthy';
      yield {
        policy: policy.outlier,
        suspects: version.backends.map((backend) => ({
          key: keyOf(upstream, version.id, backend.address),
          failures: this.parts.ledger.failuresInRow(backend.slot),
          usable: usable(backend),
        })),
      };
    }
  }

  private ejected(key: string, until: number | null): void {
    const [upstream, version, address] = key.split('\n');
    const entry = this.watched.get(versionKey(upstream, version));
    if (entry === undefined) return;
    this.assess(entry);
    this.parts.onEjected(upstream, version, address, until === null ? null : Date.now() + until - performance.now());
  }

  private ease(): void {
    const now = performance.now();
    for (const entry of this.watched.values()) if (entry.policy.slowStart.window > 0 || entry.eased) this.easeOne(entry, now);
  }

  /** Writes the weights of a version's available backends to the ledger, by how long they have been that. */
  private easeOne(entry: Watched, now: number): void {
    const { version, policy, since } = entry;
    const known = version.backends.filter(({ address }) => since.has(address));
    const weights = effectiveWeights(
      known.map(({ address }) => ({ weight: 1, age: now - (since.get(address) ?? now) })),
      policy.slowStart,
    );
    entry.eased = policy.slowStart.window > 0;
    for (const [i, { slot }] of known.entries()) this.parts.ledger.setWeight(slot, weights[i]);
  }
}

// Names, ids and addresses hold no line breaks.
function versionKey(upstream: string, version: string): string {
  return `${upstream}\n${version}`;
}

function keyOf(upstream: string, version: string, address: string): string {
  return `${versionKey(upstream, version)}\n${address}`;
}
