/**
 * A canary over a restart of the machine. The recorded split is served at once, but nothing that ran before runs now: what was launched from
 * here is started again, all else by whoever does that. So the incoming version is not blamed for being away, until it has had the time of an
 * admission; and its step is held, and judged, from when it is back.
 */
import { describeBackend, wordsOf } from './_words.ts';
import { isReady, passed } from './_admission.ts';
import { addStep, changeSwap, findVersion, healthOf, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';
import type { Swap } from '../pool/upstream.ts';
import { fewOf } from '../errors/message.ts';

/** The machine has been started again in the middle of a canary step. */
export function awaitReturn(turn: Turn, swap: Swap): void {
  const timeout = swap.admissionTimeout ?? turn.world.policy.admission.timeout;
  const until = turn.world.now + timeout;
  changeSwap(turn, { recoverBy: until });
  const reason = `${swap.to} has ${timeout / 1_000} s to be ${wordsOf(turn.world.policy).healthy} again`;
  addStep(turn, 'machine restarted', { version: swap.to, reason, until: new Date(until).toISOString() });
}

/**
 * @returns `back` once its step may be held and judged: it is ready and somebody of the versions before it is there to be compared with, or the time is up and
 * some of it is there; `late` = the time is up and nothing is.
 */
export function returnOf(turn: Turn, swap: Swap, until: number): 'back' | 'late' | 'awaited' {
  const version = theVersion(turn, swap.to);
  const isLate = turn.world.now >= until;
  const others = swap.from.map((id) => findVersion(turn.state, id)).filter((other) => other !== undefined);
  const compared = others.every((other) => healthOf(turn, other).healthy > 0);
  if (isReady(turn, version, swap) && passed(turn, version).length > 0 && (compared || isLate)) return 'back';
  if (!isLate) return 'awaited';
  return healthOf(turn, version).healthy > 0 ? 'back' : 'late';
}

/** Why it is given up, with what is known of each of its backends. */
export function notBack(turn: Turn, swap: Swap): string {
  const words = wordsOf(turn.world.policy);
  const seen = turn.world.health(theVersion(turn, swap.to));
  const named = fewOf(theVersion(turn, swap.to).backends.map(({ address }) => describeBackend(address, seen.get(address), words)));
  const timeout = swap.admissionTimeout ?? turn.world.policy.admission.timeout;
  return `the machine was restarted, and no ${words.backend} of ${swap.to} was ${words.healthy} again within ${timeout / 1_000} s: ${named.join('; ')}`;
}
