import { join } from 'node:path';
import { AcmeKeeper } from '../acme/keeper.ts';
import type { Challenge, ChallengeSite } from '../acme/order.ts';
import { AcmeStore } from '../acme/store.ts';
import type { RetryPolicy } from '../acme/schedule.ts';
import { challengeCertificate } from '../acme/x509.ts';
import type { Pair } from '../acme/x509.ts';
import type { ListenerConfig } from '../config/config.ts';
import { ChallengeContexts } from '../listen/tls-contexts.ts';
import { NO_CHALLENGES } from '../pool/acme.ts';
import type { AcmePolicy } from '../pool/acme.ts';
import type { SwitchyardEvent } from '../swap/ports.ts';
import type { Certificates } from './certificates.ts';
import type { DataThreads } from './threads.ts';

interface Surroundings {
  readonly stateDir: string;
  readonly threads: DataThreads;
  readonly certificates: Certificates;
  readonly emit: (event: SwitchyardEvent) => void;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  readonly retry?: RetryPolicy;
}

/** The keeper of the certificates that listeners get by themselves, with the proxy around it. */
export function acmeKeeper({ stateDir, threads, certificates, emit, tell, retry }: Surroundings): AcmeKeeper {
  return new AcmeKeeper({
    store: new AcmeStore(join(stateDir, 'acme'), (message) => tell('warn', message)),
    clock: {
      now: Date.now,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      random: Math.random,
    },
    site: new Site(threads),
    retry,
    install: (listener, pairs) => certificates.install(listener, pairs),
    emit: (type, data) => emit({ type, upstream: null, version: null, data }),
    tell,
  });
}

/** By position of the listener. */
export function acmePolicies(listeners: readonly ListenerConfig[]): Map<number, AcmePolicy> {
  return new Map(listeners.flatMap(({ tls }, at) => (tls === null || tls.acme === null ? [] : [[at, tls.acme] as const])));
}

/** Challenges are answered by the data threads, all of them: the authority may come to any. */
class Site implements ChallengeSite {
  private readonly threads: DataThreads;
  private readonly answers = new Map<string, string>();
  private readonly certificates = new Map<string, Pair>();

  constructor(threads: DataThreads) {
    this.threads = threads;
  }

  async show({ type, domain, token, keyAuthorization }: Challenge): Promise<void> {
    if (type === 'http-01') this.answers.set(token, keyAuthorization);
    else {
      const pair = await challengeCertificate(domain, keyAuthorization, Date.now());
      // Tried here, so that a data thread is never told something that it cannot do.
      void new ChallengeContexts(new Map([[domain, pair]]));
      this.certificates.set(domain, pair);
    }
    await this.tell();
  }

  async hide({ type, domain, token }: Challenge): Promise<void> {
    if (type === 'http-01') this.answers.delete(token);
    else this.certificates.delete(domain);
    await this.tell();
  }

  private tell(): Promise<void> {
    const { answers, certificates } = this;
    const none = answers.size === 0 && certificates.size === 0;
    return this.threads.challenge(none ? NO_CHALLENGES : { answers: new Map(answers), certificates: new Map(certificates) });
  }
}
