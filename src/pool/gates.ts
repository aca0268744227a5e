/** Where in the life of a swap a gate stands: before the new version is probed, before each step of the cutover, before the old one is released. */
export const GATE_POINTS = ['admission', 'step', 'release'] as const;
export type GatePoint = (typeof GATE_POINTS)[number];

/** Bounds of the figures of how long gates are waited for, in seconds: from a service that answers at once to a person who is asleep. */
export const GATE_WAIT_BOUNDS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400] as const;

/** Somebody who is asked before a swap goes on. */
export interface GatePolicy {
  /** Unique in its upstream. */
  readonly name: string;
  readonly at: GatePoint;
  readonly url: string;
  /** What questions are signed with. Never journaled, logged or shown. */
  readonly secret: string;
  /** Milliseconds that a swap waits for a pass. */
  readonly timeout: number;
  /** What comes of that time without one. */
  readonly onTimeout: 'stop' | 'pass';
  /** Milliseconds from a wait, or from no answer, to the next question. */
  readonly interval: number;
}

/** A gate that a swap waits at. */
export interface GateWait {
  readonly name: string;
  readonly at: GatePoint;
  /** The same for every question, after a restart too. */
  readonly key: string;
  /** Epoch milliseconds. */
  readonly since: number;
  readonly until: number;
  readonly onTimeout: 'stop' | 'pass';
  /** Its last word, when it was none that ends the wait; null = none yet. */
  readonly said: string | null;
}

/** How it stands with the gates at one point. */
export interface Gates {
  /** Names, in the order in which they were passed. */
  readonly passed: readonly string[];
  readonly waiting: GateWait | null;
  /** Who has said stop, where that keeps a version from its release; null = nobody. */
  readonly stopped: { readonly name: string; readonly reason: string } | null;
}

export const NO_GATES: Gates = { passed: [], waiting: null, stopped: null };
