/**
 * Traffic in which every byte of every body says whose it is. A tag is 12 characters; a body is its request's tag over
 * and over. The backends of tagged_backend.ts answer with the tag of the request and commit faults; the clients of
 * tagged_clients.ts look at each byte that they get.
 */
export const TAG_LENGTH = 12;

/** What a backend does with a request, and how many in 10 000 meet it. */
export const PLANS = {
  ok: 6_600,
  chunked: 1_000,
  'until-close': 100,
  interim: 200,
  'before-body': 150,
  /** Content-Length says less than is sent. */
  short: 250,
  surplus: 250,
  twice: 250,
  /** Content-Length says more than is sent; then FIN. */
  long: 200,
  'long-reset': 150,
  'long-silent': 15,
  'chunked-end': 150,
  'chunked-bad': 150,
  'chunked-reset': 100,
  'reset-before': 150,
  'reset-in-head': 100,
  'end-in-head': 100,
  'bad-head': 100,
  'interim-flood': 50,
  'endless-head': 20,
  never: 15,
} as const;
export type Plan = keyof typeof PLANS;

/** Answers that a client may see as complete ones. `short` is: nobody but the backend knows that there was to be more. */
export const COMPLETE: ReadonlySet<string> = new Set<Plan>(['ok', 'chunked', 'until-close', 'interim', 'before-body', 'short', 'surplus', 'twice']);

export const LARGEST_BODY = 6_000;

/** The body of so many bytes that bears a tag. */
export function tagged(tag: string, length: number): Buffer {
  return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, tag, 'latin1');
}

/** Whether all of these bytes bear the tag, from its beginning. */
export function bears(bytes: Buffer, tag: string): boolean {
  return bytes.equals(tagged(tag, bytes.length));
}

/** A seeded source of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4_294_967_296;
  };
}

/** What a client process is asked to do. */
export interface TaggedLoad {
  readonly port: number;
  /** One letter: the first of its tags. */
  readonly name: string;
  readonly connections: number;
  readonly requests: number;
  readonly seed: number;
}

export interface ClientReport {
  readonly type: 'clients';
  readonly sent: number;
  /** Whole answers by status. */
  readonly answered: Readonly<Record<number, number>>;
  /** Whole answers of backends, by plan. */
  readonly plans: Readonly<Record<string, number>>;
  /** Answers that were visibly incomplete, and requests that got nothing because the connection had ended before. */
  readonly cut: number;
  readonly unanswered: number;
  readonly aborted: number;
  /** What must never be: each with its evidence. */
  readonly wrong: readonly string[];
}

export interface BackendReport {
  readonly type: 'backend';
  readonly requests: number;
  readonly connections: number;
  readonly plans: Readonly<Record<string, number>>;
  readonly wrong: readonly string[];
}
