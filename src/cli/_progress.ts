import type { GateView, SwapView, VersionView } from '../control/operations.ts';
import { flightText } from './_steps.ts';
import { bar } from './_terminal.ts';
import type { Paint } from './_terminal.ts';
import { pad, plural, seconds } from './_text.ts';
import { wordsFor } from './_words.ts';

/** What a swap is doing now, as its live line says it. */
export interface Stage {
  readonly label: string;
  readonly text: string;
  /** How much of it is done, 0 to 1; null = nobody can say. */
  readonly share: number | null;
  /** Milliseconds until it ends by itself at the latest; null = it does not. */
  readonly left: number | null;
  /** What is known so far, in words; null = nothing. */
  readonly said: string | null;
}

const LABEL_WIDTH = 14;
const TEXT_WIDTH = 30;

/** Which version's backends the present stage is about; null = none. */
export function watchedVersion(swap: SwapView): string | null {
  if (swap.state === 'admitting') return swap.to;
  return swap.state === 'draining' ? swap.from : swap.state === 'rolling-back' ? swap.to : null;
}

/**
 * The stage that a running swap is in; null = it is between two.
 * @param version the one that watchedVersion names, as it is now. @param now epoch milliseconds, by the clock of the admin API.
 * @param most the most that has been seen in flight while it drained.
 */
export function stageOf(swap: SwapView, version: VersionView | null, now: number, most: number): Stage | null {
  const ends = swap.stageEndsAt === null ? null : Date.parse(swap.stageEndsAt);
  const left = ends === null ? null : Math.max(0, ends - now);
  if (swap.paused)
    return { label: 'paused', text: `at ${swap.weight} %: switchyard resume ${swap.upstream}`, share: null, left: null, said: swap.verdict?.words ?? null };
  if (swap.gate !== null) return atGate(swap.gate, now);
  if (swap.state === 'cutting-over') return held(swap, ends, left, now);
  if (version === null) return null;
  if (swap.state === 'admitting') {
    const healthy = version.backends.filter(({ health }) => health === 'healthy').length;
    const of = version.backends.length;
    const words = wordsFor(version.kind);
    return { label: 'admitting', text: `${healthy} of ${plural(of, words.backend)} ${words.healthy}`, share: of === 0 ? null : healthy / of, left, said: null };
  }
  return { label: 'draining', text: `${version.id}: ${flightText(version)}`, share: most === 0 ? null : 1 - version.inFlight / most, left, said: null };
}

function atGate({ name, until, said }: GateView, now: number): Stage {
  const left = until === null ? null : Math.max(0, Date.parse(until) - now);
  return { label: 'gate', text: `waits for ${name}`, share: null, left, said };
}

function held(swap: SwapView, ends: number | null, left: number | null, now: number): Stage {
  const label = 'canary';
  const said = swap.verdict?.words ?? null;
  if (ends === null) return { label, text: `${swap.weight} % until promoted: switchyard promote ${swap.upstream}`, share: null, left: null, said };
  const began = Date.parse(swap.steps.at(-1)?.at ?? swap.stageEndsAt ?? '');
  return { label, text: `${swap.weight} % on ${swap.to}, held`, share: ends > began ? (now - began) / (ends - began) : 1, left, said };
}

/** A stage as one line: `  ⠋ canary        25 % on v2, held      ██████░░░░  12.0 s left`. */
export function stageLine({ label, text, share, left, said }: Stage, sign: string, paint: Paint, live: boolean): string {
  const time = left === null ? '' : paint('dim', `  ${live ? '' : 'at most '}${seconds(left)} left`);
  const shown = share === null || !live ? '' : `  ${paint('cyan', bar(share))}`;
  return `  ${paint('yellow', sign)} ${pad(label, LABEL_WIDTH)}${shown === '' && time === '' ? text : pad(text, TEXT_WIDTH)}${shown}${time}${said === null ? '' : paint('dim', `  ${said}`)}`;
}
