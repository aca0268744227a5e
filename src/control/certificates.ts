import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { AcmeStatus } from '../acme/keeper.ts';
import { readAuthorities, readPair } from '../config/certificates.ts';
import type { ListenerTls, LoadedCertificate } from '../config/certificates.ts';
import type { ListenerConfig } from '../config/config.ts';
import { FileWatch } from '../config/watch-files.ts';
import type { ListenerSpec } from '../listen/tcp.ts';
import { TlsContexts } from '../listen/tls-contexts.ts';
import type { TlsPolicy } from '../pool/tls.ts';
import type { SwitchyardEvent } from '../swap/ports.ts';
import type { CertificateView, ReloadView } from './operations.ts';
import { day, iso, issuedSlots, nameOf, policy, reasonOf, renewed, unusable } from './_slots.ts';
import type { Pair, Slot } from './_slots.ts';
import { TICKET_LIFE, TicketKeys } from './tickets.ts';
import type { TicketLife } from './tickets.ts';

const POLL_MS = 10_000;
const SOON_MS = 14 * 86_400_000;
/** `setTimeout` takes no more: a day is often enough to look for what expires. */
const DAY_MS = 86_400_000;

export interface CertificatesParts {
  /** Resolves when all data threads show these to new connections; by position of the listener. */
  readonly renew: (policies: ReadonlyMap<number, TlsPolicy>) => Promise<void>;
  readonly emit: (event: SwitchyardEvent) => void;
  /** How it stands with certificates that listeners get by themselves. */
  readonly acme: () => readonly AcmeStatus[];
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  readonly tickets?: TicketLife;
}

interface Listener {
  readonly address: string;
  tls: ListenerTls;
  slots: Slot[];
  /** Those that it gets by itself. */
  issued: Slot[];
  /** Why the authorities of its clients were not replaced at the last try. */
  authorities: string | null;
}

/** What a reload found for one listener. */
interface Candidate {
  readonly tls: ListenerTls;
  readonly slots: Slot[];
  /** Why the authorities of clients stay what they are. */
  readonly authorities: string | null;
}

/** The certificates of the listeners: read, checked, put in force in all data threads at once, and read again when their files change. */
export class Certificates {
  private readonly parts: CertificatesParts;
  /** By position; null = plain. */
  private listeners: (Listener | null)[] = [];
  readonly tickets: TicketKeys;
  private turn: Promise<unknown> = Promise.resolve();
  private readonly watch: FileWatch;
  private daily: NodeJS.Timeout | undefined;

  constructor(parts: CertificatesParts) {
    this.parts = parts;
    this.tickets = new TicketKeys(
      parts.tickets ?? TICKET_LIFE,
      () => this.republish(),
      (error) => parts.tell('error', `keys of session tickets were not changed: ${error.message}`),
    );
    this.watch = new FileWatch(() => void this.reload('a change of files').catch((error: Error) => parts.tell('error', error.message)), POLL_MS);
  }

  /**
   * Takes up the certificates of a configuration. @param issued those that listeners have got by themselves, by position.
   * @returns the listeners as data threads open them.
   * @throws Error of OpenSSL when one cannot be used.
   */
  async start(configs: readonly ListenerConfig[], issued: ReadonlyMap<number, readonly Pair[]>, now: number): Promise<ListenerSpec[]> {
    this.listeners = configs.map((config, at) => (config.tls === null ? null : listenerOf(config, config.tls, issued.get(at) ?? [], now)));
    const specs = configs.map((config, i) => ({ ...config, tls: this.policyOf(i) }));
    for (const { tls } of specs) if (tls !== null) new TlsContexts(tls).check();
    await this.watch.set(this.files());
    this.tickets.start();
    this.daily = setInterval(() => this.warn(), DAY_MS).unref();
    this.warn();
    return specs;
  }

  close(): void {
    this.watch.close();
    this.tickets.close();
    clearInterval(this.daily);
  }

  private policyOf(at: number): TlsPolicy | null {
    const listener = this.listeners[at];
    return listener === null ? null : policy(listener.tls, [...listener.slots, ...listener.issued], this.tickets.keys);
  }

  /**
   * Puts the certificates that a listener has got by itself in the place of those before; resolves when all threads show them.
   * @throws Error when one cannot be used; then those before stay.
   */
  install(at: number, pairs: readonly Pair[]): Promise<void> {
    return this.queued(async () => {
      const listener = this.listeners[at];
      if (listener === null) return;
      const issued = issuedSlots(pairs, listener.issued, Date.now());
      const made = policy(listener.tls, [...listener.slots, ...issued], this.tickets.keys);
      const problem = unusable(made);
      if (problem !== null) throw new Error(problem);
      listener.issued = issued;
      await this.parts.renew(new Map([[at, made]]));
    });
  }

  private files(): string[] {
    const files = new Set<string>();
    for (const listener of this.listeners) {
      if (listener === null) continue;
      const { folder, clientAuth } = listener.tls;
      const names = [...listener.slots.flatMap(({ source }) => [source.cert, source.key]), ...(clientAuth === null ? [] : [clientAuth.source])];
      for (const name of names) if (folder !== null && fileOf(name) !== null) files.add(resolve(folder, name));
    }
    return [...files];
  }

  /**
   * Reads all files again. What is good is in force in all threads when this resolves, for new connections; for what is not, the old
   * stays. One reload at a time.
   * @param by who asked, for the log.
   */
  reload(by: string): Promise<ReloadView> {
    return this.queued(async () => {
      const now = Date.now();
      const candidates = this.listeners.map((listener, at) => (listener === null ? null : this.readAgain(listener, at, now)));
      return this.putInForce(candidates, by, now);
    });
  }

  /** Puts the `tls` of another configuration in force, as far as it is of listeners that run. */
  apply(configs: readonly ListenerConfig[]): Promise<ReloadView> {
    return this.queued(async () => {
      const now = Date.now();
      const candidates = this.listeners.map((listener) => {
        const config = configs.find((one) => addressOf(one) === listener?.address);
        return listener === null || config === undefined || config.tls === null ? null : this.taken(listener, config.tls, now);
      });
      return this.putInForce(candidates, 'a change of the configuration', now);
    });
  }

  private queued<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.turn.then(run);
    this.turn = turn.catch(() => undefined);
    return turn;
  }

  private readAgain({ tls, slots, authorities }: Listener, at: number, now: number): Candidate {
    const path = ['listeners', at, 'tls'];
    const next = slots.map((slot, i) => renewed(slot, readPair(slot.source, tls.folder, [...path, 'certificates', i]), now));
    if (tls.clientAuth === null) return { tls, slots: next, authorities: null };
    const read = readAuthorities(tls.clientAuth.source, tls.folder, [...path, 'clientAuth', 'ca']);
    if ('issues' in read) {
      const reason = reasonOf(read.issues);
      if (reason !== authorities) this.refuse(reason, { file: tls.clientAuth.source });
      return { tls, slots: next, authorities: reason };
    }
    return { tls: { ...tls, clientAuth: { ...tls.clientAuth, ca: read.found } }, slots: next, authorities: null };
  }

  /** A configuration that was read is in force but for a certificate that has expired where a good one was. */
  private taken(listener: Listener, tls: ListenerTls, now: number): Candidate {
    const slots = tls.certificates.map((certificate, i): Slot => {
      const source = tls.sources[i];
      const known = listener.slots.find((slot) => isDeepStrictEqual(slot.source, source));
      return known === undefined ? { source, certificate, loadedAt: now, triedAt: now, refused: null } : renewed(known, { found: certificate }, now);
    });
    return { tls, slots, authorities: null };
  }

  private async putInForce(candidates: readonly (Candidate | null)[], by: string, now: number): Promise<ReloadView> {
    const policies = new Map<number, TlsPolicy>();
    for (const [at, candidate] of candidates.entries()) {
      const listener = this.listeners[at];
      if (candidate === null || listener === null) continue;
      const made = policy(candidate.tls, [...candidate.slots, ...listener.issued], this.tickets.keys);
      const isChanged = !isDeepStrictEqual(made, this.policyOf(at));
      const problem = isChanged ? unusable(made) : null;
      if (problem !== null) {
        this.refuse(`listeners.${at}.tls: ${problem}`, { listener: listener.address });
        for (const slot of listener.slots) Object.assign(slot, { triedAt: now, refused: problem });
        continue;
      }
      this.tellChanges(listener, candidate.slots, by);
      Object.assign(listener, candidate);
      if (isChanged) policies.set(at, made);
    }
    if (policies.size > 0) await this.parts.renew(policies);
    await this.watch.set(this.files());
    this.warn();
    const certificates = this.views();
    return {
      reloaded: this.slots().filter(({ slot }) => slot.loadedAt === now).length,
      refused: [...this.refusedAuthorities(), ...certificates.flatMap(({ file, refused }) => (refused === null ? [] : [{ file, reason: refused }]))],
      certificates,
    };
  }

  private refusedAuthorities(): ReloadView['refused'] {
    return this.listeners.flatMap((listener) =>
      listener === null || listener.authorities === null ? [] : [{ file: fileOf(listener.tls.clientAuth?.source), reason: listener.authorities }],
    );
  }

  private tellChanges(listener: Listener, slots: readonly Slot[], by: string): void {
    for (const slot of slots) {
      const before = listener.slots.find(({ source }) => isDeepStrictEqual(source, slot.source));
      const { certificate, refused } = slot;
      const about = { listener: listener.address, file: certificate.file, names: certificate.names };
      if (refused !== null && before?.refused !== refused) this.refuse(refused, about);
      if (refused !== null || before?.certificate === certificate) continue;
      const data = { ...about, fingerprint: certificate.fingerprint, notAfter: iso(certificate.notAfter), by };
      this.parts.emit({ type: 'certificate-reloaded', upstream: null, version: null, data });
      this.parts.tell('info', `certificate ${nameOf(certificate)} of ${listener.address} replaced after ${by}; it expires on ${day(certificate.notAfter)}`);
    }
  }

  private refuse(reason: string, about: Record<string, unknown>): void {
    this.parts.emit({ type: 'certificate-refused', upstream: null, version: null, data: { ...about, reason } });
    this.parts.tell('error', `a certificate was refused, the old one stays: ${reason}`);
  }

  /** Shows every listener's contexts anew, for the keys of tickets. */
  private republish(): Promise<void> {
    return this.queued(async () => {
      const policies = this.listeners.flatMap((_, at) => {
        const made = this.policyOf(at);
        return made === null ? [] : [[at, made] as const];
      });
      if (policies.length > 0) await this.parts.renew(new Map(policies));
    });
  }

  private warn(): void {
    const now = Date.now();
    for (const { listener, slot, acme } of this.slots()) {
      const { certificate } = slot;
      if (!isSoon(certificate, acme, now)) continue;
      const when = certificate.notAfter < now ? 'has expired' : 'expires';
      this.parts.tell('warn', `certificate ${nameOf(certificate)} of ${listener.address} ${when} on ${day(certificate.notAfter)}`);
    }
  }

  private slots(): { listener: Listener; slot: Slot; acme: AcmeStatus | null }[] {
    const automatic = this.parts.acme();
    return this.listeners.flatMap((listener, at) => {
      if (listener === null) return [];
      const own = automatic.filter((one) => one.listener === at);
      return [
        ...listener.slots.map((slot) => ({ listener, slot, acme: null })),
        ...listener.issued.map((slot, i) => ({ listener, slot, acme: own.at(i) ?? null })),
      ];
    });
  }

  views(): CertificateView[] {
    return this.slots().map(({ listener, acme, slot: { certificate: one, loadedAt, triedAt, refused } }) => ({
      listener: listener.address,
      names: [...one.names, ...one.addresses],
      subject: one.subject,
      issuer: one.issuer,
      notBefore: iso(one.notBefore),
      notAfter: iso(one.notAfter),
      fingerprint: one.fingerprint,
      keyType: one.keyType,
      file: one.file,
      loadedAt: iso(loadedAt),
      triedAt: iso(triedAt),
      refused,
      acme: acme === null ? null : { directory: acme.directory, state: acme.state, problem: acme.problem, failures: acme.failures, nextAt: iso(acme.nextAt) },
    }));
  }

  /** When each expires, in epoch seconds, by its first name; of several with one name (RSA beside ECDSA) the first to expire. */
  expiries(): { listener: string; name: string; expires: number }[] {
    const found = new Map<string, { listener: string; name: string; expires: number }>();
    for (const { listener, slot } of this.slots()) {
      const name = nameOf(slot.certificate);
      const expires = slot.certificate.notAfter / 1000;
      const key = `${listener.address} ${name}`;
      if (expires < (found.get(key)?.expires ?? Infinity)) found.set(key, { listener: listener.address, name, expires });
    }
    return [...found.values()];
  }

  /** Which is the first to expire, and what an operator should do something about: sentences. */
  facts(): string[] {
    const now = Date.now();
    const slots = this.slots();
    if (slots.length === 0) return [];
    const { listener: of, slot: first, acme: own } = slots.reduce((a, b) => (b.slot.certificate.notAfter < a.slot.certificate.notAfter ? b : a));
    const { notAfter } = first.certificate;
    const when = `${notAfter < now ? 'has expired' : 'expires'} on ${day(notAfter)}${own === null ? '' : `, and is renewed at ${iso(own.nextAt)}`}`;
    const among = slots.length === 1 ? '' : `, the first of ${slots.length} to expire,`;
    const summary = `certificate ${nameOf(first.certificate)} of ${of.address}${among} ${when}`;
    const troubles = slots.flatMap(({ listener, acme, slot: { certificate, refused } }) => {
      const about = `certificate ${nameOf(certificate)} of ${listener.address}`;
      const late = certificate.notAfter < now ? 'has expired' : 'expires';
      const expiry = isSoon(certificate, acme, now) ? [`${about} ${late} on ${day(certificate.notAfter)}`] : [];
      if (acme !== null && acme.problem !== null) {
        const shown = acme.issued ? 'could not be renewed' : 'could not be had, and a self-signed one is shown';
        return expiry.concat(`${about} ${shown}; it is tried again at ${iso(acme.nextAt)}: ${acme.problem}`);
      }
      return refused === null ? expiry : expiry.concat(`${about} was not replaced: ${refused}`);
    });
    troubles.push(...this.refusedAuthorities().map(({ reason }) => `the authorities of clients were not replaced: ${reason}`));
    return troubles.includes(summary) ? troubles : [summary, ...troubles];
  }
}

/** One that renews itself has a life as short as its authority likes: it is late in its last fifth. */
function isSoon({ notBefore, notAfter }: LoadedCertificate, acme: AcmeStatus | null, now: number): boolean {
  return notAfter - now <= (acme === null ? SOON_MS : Math.min(SOON_MS, (notAfter - notBefore) / 5));
}

function listenerOf(config: ListenerConfig, tls: ListenerTls, pairs: readonly Pair[], now: number): Listener {
  const slots = tls.certificates.map((certificate, i) => ({ source: tls.sources[i], certificate, loadedAt: now, triedAt: now, refused: null }));
  return { address: addressOf(config), tls, slots, issued: issuedSlots(pairs, [], now), authorities: null };
}

function addressOf({ host, port }: Pick<ListenerConfig, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** null = it is in the configuration itself. */
function fileOf(source = ''): string | null {
  return source.includes('-----BEGIN') ? null : source;
}
