/**
 * How long, in ms, a condition that should come true is waited for unless told. It only bounds the wait of a test that
 * fails: a machine that stands still for seconds must not be one.
 */
export const PATIENCE = 20_000;

/** Rejects with `what` when the promise has not settled after `ms`. */
export async function within<T>(ms: number, what: string | (() => string), promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again every `every` ms until the answer is truthy, and gives it back; rejects with `what` after `ms`. */
export async function eventually<T>(what: string | (() => string), ask: () => T | Promise<T>, ms = PATIENCE, every = 10): Promise<NonNullable<T>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() >= deadline) throw new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`);
    await sleep(every);
  }
}

const LOOK_MS = 20;
const MOST_ROUNDS = 6;

/**
 * For what is only so while this process, whose clients or backends are at work in it, is not held up itself: gives back what
 * `run` finds, or throws what it throws. What is not `right` (or was thrown) while this process stood still for more than `most` ms
 * is nobody's fault: it runs again.
 */
export async function undisturbed<T>(most: number, run: (round: number) => Promise<T>, right: (found: T) => boolean = () => true): Promise<T> {
  for (let round = 0; ; round++) {
    let [longest, looked] = [0, performance.now()];
    const look = (): void => {
      const now = performance.now();
      longest = Math.max(longest, now - looked - LOOK_MS);
      looked = now;
    };
    const timer = setInterval(look, LOOK_MS);
    try {
      const found = await run(round);
      look();
      if (right(found) || longest <= most || round === MOST_ROUNDS) return found;
    } catch (error) {
      look();
      if (longest <= most || round === MOST_ROUNDS) throw error;
    } finally {
      clearInterval(timer);
    }
  }
}
