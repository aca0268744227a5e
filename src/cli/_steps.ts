import type { SwapView, UpstreamKind } from '../control/operations.ts';
import type { Paint } from './_terminal.ts';
import { pad, plural, seconds } from './_text.ts';
import { wordsFor } from './_words.ts';
import type { Words } from './_words.ts';

export type Step = SwapView['steps'][number];

const NAME_WIDTH = 14;
const TEXT_WIDTH = 52;
const JUDGED: Readonly<Record<string, readonly ['green' | 'red' | 'yellow', string]>> = {
  pass: ['green', '✓'],
  stop: ['red', '✗'],
  wait: ['yellow', '…'],
  fail: ['red', '✗'],
  inconclusive: ['yellow', '…'],
};
const BAD: readonly string[] = ['not admitted', 'rejected', 'rolled-back', 'aborted', 'going back'];
const OPEN: readonly string[] = ['requested', 'open', 'draining', 'paused', 'held longer', 'machine restarted'];

function whole(evidence: Step['evidence'], key: string): number {
  const value = evidence[key];
  return typeof value === 'number' ? value : 0;
}

function healthText(evidence: Step['evidence'], { backend, healthy }: Words): string {
  return typeof evidence.of === 'number' ? `${whole(evidence, 'healthy')} of ${plural(evidence.of, backend)} ${healthy}` : '';
}

function generationText(evidence: Step['evidence']): string {
  return typeof evidence.generation === 'number' ? `generation ${evidence.generation}` : '';
}

/** `3 in flight (1 stream, 1 tunnel)`; of workers `3 leases in hand`. */
export function flightText({ inFlight, streams, tunnels, kind }: { inFlight: number; streams: number; tunnels: number; kind: UpstreamKind }): string {
  if (kind === 'worker') return `${plural(inFlight, 'lease')} in hand`;
  const kinds = [streams > 0 ? plural(streams, 'stream') : '', tunnels > 0 ? plural(tunnels, 'tunnel') : ''].filter((kind) => kind !== '');
  return `${inFlight} in flight${kinds.length === 0 ? '' : ` (${kinds.join(', ')})`}`;
}

function textOf({ name, at, evidence }: Step, swap: SwapView): string {
  const version = typeof evidence.version === 'string' ? evidence.version : swap.to;
  const join = (...parts: string[]): string => parts.filter((part) => part !== '').join(', ');
  const words = wordsFor(swap.upstreamKind);
  const by = typeof evidence.by === 'string' ? `by ${evidence.by}` : '';
  if (name === 'admitted' || name === 'not admitted' || name === 'healthy again') return join(healthText(evidence, words));
  if (name === 'live') return join(`all ${words.traffic} on ${version}`, generationText(evidence));
  if (name.startsWith('weight ')) return join(`${name.slice('weight '.length)} % on ${version}`, healthText(evidence, words), generationText(evidence));
  if (name === 'draining') {
    const flight = { inFlight: whole(evidence, 'inFlight'), streams: whole(evidence, 'streams'), tunnels: whole(evidence, 'tunnels'), kind: swap.upstreamKind };
    return `${version}: ${flightText(flight)}`;
  }
  if (name === 'open' && typeof evidence.openUntil === 'string')
    return `${version}: to its sessions for ${seconds(Date.parse(evidence.openUntil) - Date.parse(at))}`;
  if (name === 'drained') {
    const killed = whole(evidence, 'killed');
    const took = typeof evidence.drainMs === 'number' ? ` after ${seconds(evidence.drainMs)}` : '';
    return `${version}: nothing ${words.inFlight}${took}${typeof evidence.killed === 'number' ? `, ${killed} killed` : ''}`;
  }
  if (name === 'gate') return `${String(evidence.gate)}: ${String(evidence.decision)}, ${String(evidence.reason)}`;
  if (name === 'judged' || name === 'held longer') return `${whole(evidence, 'weight')} %: ${String(evidence.words)}`;
  if (name === 'started') return `${version}: ${plural(whole(evidence, 'processes'), 'process', 'processes')} started`;
  if (name === 'stopped') return `${version}: ${plural(whole(evidence, 'processes'), 'process', 'processes')} ended after ${seconds(whole(evidence, 'ms'))}`;
  if (name === 'released') return `${version} may be destroyed`;
  return typeof evidence.reason === 'string' ? evidence.reason : by;
}

/** One step of a swap as a line: mark, name, the facts, and the time since the swap was asked for. */
export function stepLine(step: Step, swap: SwapView, paint: Paint): string {
  const start = Date.parse(swap.steps[0]?.at ?? step.at);
  const judged = step.name === 'judged' || step.name === 'gate' ? JUDGED[String(step.evidence.decision)] : undefined;
  const mark =
    judged !== undefined
      ? paint(...judged)
      : BAD.includes(step.name)
        ? paint('red', '✗')
        : OPEN.includes(step.name)
          ? paint('yellow', '…')
          : paint('green', '✓');
  const label = step.name.startsWith('weight ') ? 'canary' : step.name === 'machine restarted' ? 'restarted' : step.name;
  const time = paint('dim', seconds(Date.parse(step.at) - start).padStart(8));
  return `  ${mark} ${pad(label, NAME_WIDTH)}${pad(textOf(step, swap), TEXT_WIDTH)}${time}`;
}

/** `web  v1 → v2`. */
export function swapTitle(swap: SwapView, paint: Paint): string {
  return `${paint('bold', swap.upstream)}  ${swap.from ?? 'nothing'} → ${paint('bold', swap.to)}${swap.kind === 'rollback' ? '  (rollback)' : ''}`;
}
