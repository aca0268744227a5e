import { join } from 'node:path';
import { AcmeKeeper } from '../acme/keeper.ts';
import type { Challenge, ChallengeSite } from '../acme/order.ts';
import { AcmeStore } from '../acme/store.ts';
import type { RetryPolicy } from '../acme/schedule.ts';
import type { ListenerConfig } from '../config/config.ts';
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

  constructor(threads: DataThreads) {
    this.threads = threads;
  }

  show({ token, keyAuthorization }: Challenge): Promise<void> {
    this.answers.set(token, keyAuthorization);
    return this.threads.challenge(new Map(this.answers));
  }

  hide({ token }: Challenge): Promise<void> {
    this.answers.delete(token);
    return this.threads.challenge(new Map(this.answers));
  }
}
