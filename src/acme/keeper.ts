import { X509Certificate } from 'node:crypto';
import type { AcmePolicy } from '../pool/acme.ts';
import { AcmeClient } from './client.ts';
import { obtain } from './order.ts';
import type { ChallengeSite } from './order.ts';
import { AcmeProblem } from './_problem.ts';
import { RETRY, renewalAt, retryIn } from './schedule.ts';
import type { RenewalWindow, RetryPolicy } from './schedule.ts';
import type { AcmeStore } from './store.ts';
import { placeholder, renewalId } from './x509.ts';
import type { Pair } from './x509.ts';
import { messageOf } from '../errors/message.ts';

const HOUR_MS = 3_600_000;
/** How often the authority is asked when it would like a renewal, unless it says (RFC 9773 §4.3): kept from a minute to a day. */
const ASK_MS = 6 * HOUR_MS;
const LEAST_ASK_MS = 60_000;
const MOST_TIMER_MS = 24 * HOUR_MS;

/** Time and chance, as the keeper is given them. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** @returns what calls it off. */
  after(ms: number, run: () => void): () => void;
  /** From 0 up to 1. */
  random(): number;
}

export interface KeeperParts {
  readonly store: AcmeStore;
  readonly clock: Clock;
  readonly site: ChallengeSite;
  readonly retry?: RetryPolicy;
  /** Puts the certificates of a listener in force, in the order of its groups; resolves when every thread shows them. */
  readonly install: (listener: number, pairs: readonly Pair[]) => Promise<void>;
  readonly emit: (type: 'certificate-issued' | 'certificate-failed', data: Record<string, unknown>) => void;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** How it stands with one certificate. Times are epoch milliseconds. */
export interface AcmeStatus {
  readonly listener: number;
  readonly domains: readonly string[];
  readonly directory: string;
  /** `waiting` = there is none yet, and a self-signed one is shown. */
  readonly state: 'waiting' | 'ordering' | 'issued';
  /** What is shown is the authority's. */
  readonly issued: boolean;
  /** Why the last try failed; null = it did not. */
  readonly problem: string | null;
  /** Tries that failed since the last success. */
  readonly failures: number;
  /** When it is tried next. */
  readonly nextAt: number;
}

interface Entry {
  readonly listener: number;
  readonly policy: AcmePolicy;
  readonly domains: readonly string[];
  pair: Pair;
  issued: boolean;
  ordering: boolean;
  failures: number;
  problem: string | null;
  nextAt: number;
  /** When the authority is asked about its renewal window. */
  askAt: number;
  /** In force, and not on disk yet; null = nothing is. It is not asked for again because a disk is full. */
  unsaved: Pair | null;
}

/** Keeps certificates of an ACME authority fresh: one order at a time, the one that is due first. */
export class AcmeKeeper {
  private readonly parts: KeeperParts;
  private readonly stop = new AbortController();
  private entries: Entry[] = [];
  private cancel: () => void = () => undefined;
  private working: Promise<void> | null = null;
  readonly renewals = { issued: 0, failed: 0 };

  constructor(parts: KeeperParts) {
    this.parts = parts;
  }

  /**
   * Takes up what there is on disk, and what else is wanted, by listener.
   * @returns the certificates that each listener shows at first: stored, or self-signed until there are others.
   */
  async load(policies: ReadonlyMap<number, AcmePolicy>): Promise<Map<number, readonly Pair[]>> {
    const { clock, store } = this.parts;
    const wanted = [...policies].flatMap(([listener, policy]) => policy.groups.map((domains) => ({ listener, policy, domains })));
    this.entries = [];
    for (const one of wanted) {
      const stored = store.certificate(one.policy.directory, one.domains);
      const issued = stored !== null;
      const pair = stored ?? (await placeholder(one.domains, clock.now()));
      const entry: Entry = { ...one, pair, issued, ordering: false, failures: 0, problem: null, nextAt: clock.now(), askAt: clock.now(), unsaved: null };
      if (issued) entry.nextAt = renewalAt(lifetimeOf(pair), null, clock.random());
      else this.parts.tell('info', `${one.domains.join(', ')}: a self-signed certificate is shown until ${hostOf(one.policy)} has given one`);
      this.entries.push(entry);
    }
    return new Map([...policies.keys()].map((listener) => [listener, this.pairsOf(listener)]));
  }

  /** Begins to order what is due. */
  start(): void {
    this.arm();
  }

  /** Ends what is under way; what was obtained is on disk. */
  async close(): Promise<void> {
    this.stop.abort(new Error('the proxy is shutting down'));
    this.cancel();
    await this.working;
  }

  status(): AcmeStatus[] {
    return this.entries.map(({ listener, policy, domains, ordering, issued, problem, failures, nextAt }) => ({
      listener,
      domains,
      directory: policy.directory,
      issued,
      state: ordering ? 'ordering' : issued ? 'issued' : 'waiting',
      problem,
      failures,
      nextAt,
    }));
  }

  private pairsOf(listener: number): Pair[] {
    return this.entries.filter((entry) => entry.listener === listener).map(({ pair }) => pair);
  }

  private arm(): void {
    this.cancel();
    const { clock } = this.parts;
    if (this.stop.signal.aborted || this.working !== null || this.entries.length === 0) return;
    const next = Math.min(...this.entries.map(dueAt));
    this.cancel = clock.after(Math.min(MOST_TIMER_MS, Math.max(0, next - clock.now())), () => this.work());
  }

  private work(): void {
    const now = this.parts.clock.now();
    const [entry] = this.entries.filter((one) => dueAt(one) <= now).toSorted((a, b) => dueAt(a) - dueAt(b));
    if (entry === undefined) return this.arm();
    this.working = (entry.nextAt <= now ? this.renew(entry) : this.ask(entry))
      // Whatever goes wrong with one, the others have their turn.
      .catch((error: unknown) => this.failed(entry, error))
      .finally(() => {
        this.working = null;
        this.arm();
      });
  }

  private async renew(entry: Entry): Promise<void> {
    const { clock, tell, emit } = this.parts;
    const { policy, domains } = entry;
    entry.ordering = true;
    try {
      if (entry.unsaved === null) await this.putInForce(entry, this.gotMeanwhile(entry) ?? (await this.order(entry)));
      this.save(entry);
    } finally {
      entry.ordering = false;
    }
    const { notAfter } = lifetimeOf(entry.pair);
    Object.assign(entry, { failures: 0, problem: null, nextAt: renewalAt(lifetimeOf(entry.pair), null, clock.random()), askAt: clock.now() });
    this.renewals.issued++;
    emit('certificate-issued', { names: domains, directory: policy.directory, notAfter: new Date(notAfter).toISOString() });
    tell('info', `certificate ${domains.join(', ')} obtained from ${hostOf(policy)}; it expires on ${new Date(notAfter).toISOString().slice(0, 10)}`);
  }

  /** What another listener has got for the same names. */
  private gotMeanwhile({ policy, domains, pair }: Entry): Pair | null {
    const { clock, store } = this.parts;
    const stored = store.certificate(policy.directory, domains);
    return stored === null || stored.cert === pair.cert || renewalAt(lifetimeOf(stored), null, 0) <= clock.now() ? null : stored;
  }

  private order({ policy, domains, issued, pair }: Entry): Promise<Pair> {
    const { clock, site } = this.parts;
    return this.with(policy, async (client, key) => {
      const offersInfo = issued && (await client.directory()).renewalInfo !== undefined;
      const replaces = offersInfo ? await renewalId(pair.cert) : null;
      return obtain({ client, key, policy, domains, replaces, site, sleep: (ms) => this.sleep(ms), now: () => clock.now() });
    });
  }

  /** One that cannot be shown is forgotten: it must not be in the way of the others of its listener, nor of the next start. */
  private async putInForce(entry: Entry, pair: Pair): Promise<void> {
    const before = { pair: entry.pair, issued: entry.issued };
    Object.assign(entry, { pair, issued: true });
    try {
      await this.parts.install(entry.listener, this.pairsOf(entry.listener));
    } catch (error) {
      Object.assign(entry, before);
      throw error;
    }
    entry.unsaved = pair;
  }

  private save(entry: Entry): void {
    try {
      this.parts.store.keep(entry.policy.directory, entry.domains, entry.pair);
    } catch (error) {
      throw new Error(`it is in force, and cannot be kept for the next start: ${String(error)}`, { cause: error });
    }
    entry.unsaved = null;
  }

  private failed(entry: Entry, error: unknown): void {
    if (this.stop.signal.aborted) return;
    const { clock, emit, retry, tell } = this.parts;
    const { policy, domains, issued } = entry;
    const problem = messageOf(error);
    const asked = error instanceof AcmeProblem ? error.wait : null;
    entry.failures++;
    entry.problem = problem;
    entry.nextAt = clock.now() + retryIn(entry.failures, asked, clock.random(), retry ?? RETRY);
    this.renewals.failed++;
    const next = new Date(entry.nextAt).toISOString();
    emit('certificate-failed', { names: domains, directory: policy.directory, reason: problem, failures: entry.failures, nextAt: next });
    const shown = issued ? 'the one in force stays' : 'the self-signed one stays';
    tell('error', `no certificate for ${domains.join(', ')} from ${hostOf(policy)}, ${shown}; tried again at ${next}: ${problem}`);
  }

  /** Asks when the authority would like the certificate to be renewed. That it does not say is no failure: two thirds of the life stand. */
  private async ask(entry: Entry): Promise<void> {
    const { clock } = this.parts;
    entry.askAt = clock.now() + ASK_MS;
    try {
      const id = await renewalId(entry.pair.cert);
      const found = id === null ? null : await this.with(entry.policy, (client) => client.renewalInfo(id));
      if (found === null) return;
      if (found.wait !== null) entry.askAt = clock.now() + Math.min(MOST_TIMER_MS, Math.max(LEAST_ASK_MS, found.wait));
      if (entry.failures === 0) entry.nextAt = renewalAt(lifetimeOf(entry.pair), windowOf(found.body), clock.random());
    } catch (error) {
      if (!(error instanceof AcmeProblem)) throw error;
      if (!this.stop.signal.aborted) this.parts.tell('info', `${entry.domains.join(', ')}: ${error.message}`);
    }
  }

  private async with<T>(policy: AcmePolicy, run: (client: AcmeClient, key: ReturnType<AcmeStore['accountKey']>) => Promise<T>): Promise<T> {
    const key = this.parts.store.accountKey(policy.directory);
    const client = new AcmeClient(policy, key, this.stop.signal, () => this.parts.clock.now());
    try {
      return await run(client, key);
    } finally {
      await client.close();
    }
  }

  private sleep(ms: number): Promise<void> {
    const { signal } = this.stop;
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        cancel();
        reject(new AcmeProblem('aborted', 'the proxy is shutting down'));
      };
      const cancel = this.parts.clock.after(ms, () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      });
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
    });
  }
}

function dueAt({ nextAt, askAt, issued }: Entry): number {
  return issued ? Math.min(nextAt, askAt) : nextAt;
}

function lifetimeOf({ cert }: Pair): { notBefore: number; notAfter: number } {
  const { validFrom, validTo } = new X509Certificate(cert);
  return { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

function windowOf({ suggestedWindow }: { suggestedWindow?: { start?: string; end?: string } }): RenewalWindow | null {
  const [start, end] = [suggestedWindow?.start, suggestedWindow?.end].map((text) => (typeof text === 'string' ? Date.parse(text) : Number.NaN));
  return Number.isNaN(start) || Number.isNaN(end) ? null : { start, end };
}

function hostOf({ directory }: AcmePolicy): string {
  return new URL(directory).host;
}
