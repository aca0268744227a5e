import type { LaunchSpec } from '../config/launch.ts';

/** One replica of a version that is to run. */
export interface Order {
  readonly upstream: string;
  readonly version: string;
  /** From 1. */
  readonly replica: number;
  /** Of this replica and no other, ever: what was started by this order is found again by it. */
  readonly mark: string;
  readonly spec: LaunchSpec;
  /** Where it is to listen; null = it has no address, or the driver tells it. */
  readonly port: number | null;
  /** What Switchyard tells it, beside the `env` of its spec. */
  readonly told: Readonly<Record<string, string>>;
  /** File that takes its output, as far as the driver has it. */
  readonly output: string;
}

/** What a driver needs to find again what it has started. Plain data: it is kept on disk. */
export type Handle = Readonly<Record<string, string | number>>;

export interface Started {
  readonly handle: Handle;
  /** `host:port`; null = that of the order's port on loopback. */
  readonly address: string | null;
}

/** How something ended; both null when nobody saw it. */
export interface End {
  readonly code: number | null;
  readonly signal: string | null;
}

/** What was printed since an offset, in whole lines. */
export interface Followed {
  readonly lines: readonly string[];
  /** Where to go on. */
  readonly at: number;
  /** Bytes between the offset and the first line here that are not kept any more. */
  readonly missed: number;
}

/**
 * Starts and ends what serves a version. Whatever a driver does may be cut short by a crash of the proxy and is then asked for
 * again: `stop` ends all that an order has ever started, also when nobody has come to know its handle.
 */
export interface Driver {
  /**
   * Starts it; resolves once it exists, before it is ready.
   * @throws StartError when it cannot be started; nothing of it is left then, or `stop` ends it.
   */
  start(order: Order, signal: AbortSignal): Promise<Started>;
  /** Resolves when it has ended, and at once when it has already; rejects only with the reason of the signal. */
  ended(order: Order, handle: Handle, signal: AbortSignal): Promise<End>;
  /** Resolves when nothing of the order runs any more: asked to end, and after `spec.stopTimeout` made to. */
  stop(order: Order, handle: Handle | null): Promise<void>;
  /** The last lines of its output, oldest first. */
  output(order: Order, handle: Handle | null, lines: number): Promise<string[]>;
  /** Its last lines as far as they are in memory. A driver without this has none there. */
  lastWords?(order: Order, lines: number): string[];
  /** What it has printed from an offset on, in bytes of all that the replica has ever printed. A driver without this cannot be followed. */
  follow?(order: Order, from: number): Promise<Followed>;
  /** Looks after nothing any more; what runs goes on. */
  close?(): void;
}

/** It could not be started. `again` = another try may well succeed. */
export class StartError extends Error {
  readonly again: boolean;

  constructor(message: string, again: boolean) {
    super(message);
    this.name = 'StartError';
    this.again = again;
  }
}

/** `exited with code 1`, `was ended by SIGKILL`. */
export function endText({ code, signal }: End): string {
  if (signal !== null) return `was ended by ${signal}`;
  return code === null ? 'has ended' : `exited with code ${code}`;
}
