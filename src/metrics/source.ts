import type { Counts, Traffic } from '../ledger/control.ts';
import type { Phase } from '../pool/phase.ts';
import type { WebhookMetrics } from '../webhooks/webhooks.ts';

/** Where the figures come from; asked once a scrape. */
export interface MetricsSource {
  snapshot(): MetricsSnapshot;
}

export interface MetricsSnapshot {
  readonly generation: number;
  /** Generation acked by each data thread, by thread. */
  readonly acked: Readonly<Record<string, number>>;
  /** Open now. */
  readonly clientConnections: number;
  /** Client addresses that have a connection, or a bucket that is not full. */
  readonly clientsCounted: number;
  /** Connections and requests let through because the client table had no room to count them. */
  readonly clientsUncounted: number;
  readonly retries: number;
  /** Bytes of request bodies that nobody has taken, now; and how often a client was not read from because they were too many. */
  readonly unread: { readonly bytes: number; readonly holds: number };
  /** Requests that were answered with another address. */
  readonly redirects: number;
  /** Requests whose head could be read, by version of HTTP. */
  readonly requests: { readonly http10: number; readonly http11: number; readonly http2: number };
  /** By position in REJECT_LIST, as `ControlLedger.rejected()` gives it. */
  readonly rejected: readonly number[];
  readonly handshakes: HandshakeMetrics;
  /** How often the key of session tickets has changed. */
  readonly ticketKeyChanges: number;
  readonly certificates: readonly { readonly listener: string; readonly name: string; /** Epoch seconds. */ readonly expires: number }[];
  /** Tries to get certificates of an ACME authority; `at` is in epoch seconds. */
  readonly acme: {
    readonly issued: number;
    readonly failed: number;
    readonly next: readonly { readonly name: string; readonly at: number }[];
    /** Questions of authorities that were answered. */
    readonly challenges: { readonly http: number; readonly tls: number };
  };
  /** Revision of the configuration; fields in which it is not what its source says; looks at that by how they ended. */
  readonly config: { readonly revision: number; readonly drift: number; readonly pulls: Readonly<Record<string, number>> };
  /** Attempts since the start by how they ended, and what waits. */
  readonly webhooks: readonly WebhookMetrics[];
  readonly upstreams: readonly UpstreamMetrics[];
}

export interface HandshakeMetrics {
  readonly done: number;
  /** Of those that are done. */
  readonly resumed: number;
  /** Of those that are done; the others have TLS 1.2. */
  readonly tls13: number;
  /** Under way now. */
  readonly open: number;
  /** By position in HANDSHAKE_FAILURES. */
  readonly failed: readonly number[];
}

export interface UpstreamMetrics {
  readonly name: string;
  /** Requests that wait at its door. */
  readonly waiting: number;
  /** Requests that were not mirrored; cells of NOT_MIRRORED. */
  readonly notMirrored: readonly number[];
  /** Versions that are not final: the series of the others disappear. */
  readonly versions: readonly VersionMetrics[];
  /** Swaps that have ended, by outcome: `done`, `rejected`, `rolled-back`, `aborted`. */
  readonly swaps: Readonly<Record<string, number>>;
  /** What has happened to its members since the start; null = it serves requests. */
  readonly members: { readonly refused: Readonly<Record<'full' | 'expired' | 'rate', number>>; readonly lost: number } | null;
  /** Seconds that the running or last swap has spent in each of its states. */
  readonly swapSeconds: Readonly<Record<string, number>>;
  /** Of the points at which gates stand. */
  readonly gates: readonly GateMetrics[];
  /** Questions of its canaries to a Prometheus server, by result: `pass`, `fail`, `no-data`, `error`, `timeout`; null = there are none to ask. */
  readonly checks: Readonly<Record<string, number>> | null;
}

export interface GateMetrics {
  /** `admission`, `step` or `release`. */
  readonly before: string;
  /** Questions, and what came of them: `pass`, `wait`, `stop`, `failed`. */
  readonly asked: number;
  readonly answers: Readonly<Record<string, number>>;
  /** Waits that were ended by their time. */
  readonly timeouts: number;
  /** Waits that have ended: how many were up to so long, by GATE_WAIT_BOUNDS, and the longer ones; and how long all were together. */
  readonly bins: readonly number[];
  readonly seconds: number;
  /** Gates that are waited for now. */
  readonly waiting: number;
}

export interface VersionMetrics {
  readonly id: string;
  readonly phase: Phase;
  /** Percent of the split. */
  readonly weight: number;
  /** Over all its backends. */
  readonly counts: Counts;
  /** null = it is of workers: they take jobs, which are counted as leases. */
  readonly traffic: Traffic | null;
  /** Of copies of requests for another version; null = it has got none. */
  readonly mirrored: Traffic | null;
  /** Members by what they are to do; null = it serves requests. */
  readonly workers: Readonly<Record<'run' | 'quiesce' | 'stop', number>> | null;
  readonly backends: readonly BackendMetrics[];
}

export interface BackendMetrics {
  readonly address: string;
  readonly healthy: boolean;
  readonly inFlight: number;
  /** Started. */
  readonly requests: number;
}
