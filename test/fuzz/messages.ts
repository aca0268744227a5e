import type { Found, Target } from './inputs.ts';

/** What a worker is told. */
export interface Order {
  readonly target: Target;
  readonly seed: number;
  /** Its inputs: `first`, `first + stride`, … below `end`. */
  readonly first: number;
  readonly stride: number;
  readonly end: number;
  /** Epoch milliseconds at which it stops; Infinity = when all inputs are done. */
  readonly until: number;
  /** Corpus files; undefined = the project's own. */
  readonly corpus: readonly string[] | undefined;
  /** One cell: the index of the input that is being run. */
  readonly progress: SharedArrayBuffer;
}

/** What it says at its end. */
export interface Done {
  readonly inputs: number;
  readonly judged: number;
  readonly found: Found | null;
  /** Bytes of the heap in use after collections, over the run. */
  readonly heap: readonly number[];
}
