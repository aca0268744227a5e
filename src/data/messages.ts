import type { ListenerSpec } from '../listen/tcp.ts';
import type { PendingChallenges } from '../pool/acme.ts';
import type { TableDelta } from '../pool/table.ts';
import type { TlsPolicy } from '../pool/tls.ts';

/** What a data thread is born with. */
export interface ThreadBirth {
  readonly ledger: SharedArrayBuffer;
  /** The client table. */
  readonly clients: SharedArrayBuffer;
  readonly thread: number;
  readonly threads: number;
  /** The whole table; its generation is committed already. */
  readonly table: TableDelta;
}

export type ToThread =
  | { readonly type: 'prepare'; readonly delta: TableDelta }
  /** A generation has been committed: a thread without traffic wakes up and moves to it. */
  | { readonly type: 'commit' }
  | { readonly type: 'listen'; readonly listeners: readonly ListenerSpec[] }
  /** New connections of these listeners, by position, are shown these certificates. Rises with each; answered with `renewed`. */
  | { readonly type: 'tls'; readonly renewal: number; readonly policies: ReadonlyMap<number, TlsPolicy> }
  /** All challenges of certificate authorities to answer from now on. Answered with `renewed`, like `tls`. */
  | { readonly type: 'challenges'; readonly renewal: number; readonly pending: PendingChallenges }
  /** Cut what is in flight on a version: requests now; streams and tunnels politely, spread over `spreadMs`. */
  | { readonly type: 'cut'; readonly versionSlot: number; readonly kind: 'requests' | 'tunnels'; readonly spreadMs: number }
  /** Finish: stop accepting, let what is in flight end within `drainMs`, then say `stopped`. */
  | { readonly type: 'finish'; readonly drainMs: number };

export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'prepared'; readonly generation: number }
  | { readonly type: 'listening'; readonly ports: readonly number[] }
  | { readonly type: 'renewed'; readonly renewal: number }
  | { readonly type: 'listen-failed'; readonly listener: ListenerSpec; readonly code: string }
  | { readonly type: 'log'; readonly batch: string }
  /** `cut` = requests that had to be cut at the deadline. */
  | { readonly type: 'stopped'; readonly cut: number };
