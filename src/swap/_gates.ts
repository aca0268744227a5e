import { NO_GATES } from '../pool/gates.ts';
import type { GatePoint, GatePolicy, Gates } from '../pool/gates.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { Swap, UpstreamState } from '../pool/upstream.ts';
import { addStep, changeSwap, changeVersion, emit, runningSwap, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';

function gatesAt({ gates }: UpstreamPolicy, at: GatePoint): GatePolicy[] {
  return gates.filter((gate) => gate.at === at);
}

/** Whether an operator's swap has gates there; going back has none, and neither has what a person does by hand. */
export function isGated(turn: Turn, swap: Swap, at: GatePoint): boolean {
  return swap.kind === 'swap' && gatesAt(turn.world.policy, at).length > 0;
}

/** The gates with the next of them being asked; nothing waits when all are passed. One at a time, in the order of the configuration. */
function ask(turn: Turn, at: GatePoint, present: Gates, key: string): Gates {
  const gates = gatesAt(turn.world.policy, at);
  // A gate that is not configured any more holds nothing up.
  if (present.stopped !== null || (present.waiting !== null && gates.some(({ name }) => name === present.waiting?.name))) return present;
  const next = gates.find(({ name }) => !present.passed.includes(name));
  if (next === undefined) return present.waiting === null ? present : { ...present, waiting: null };
  const { now } = turn.world;
  const { name, onTimeout, timeout } = next;
  return { ...present, waiting: { name, at, key: `${key}.${at}.${name}`, since: now, until: now + timeout, onTimeout, said: null } };
}

/** Asks the gates that the running swap has at this point. @returns whether all are passed. */
export function passesGates(turn: Turn, swap: Swap, at: 'admission' | 'step'): boolean {
  if (!isGated(turn, swap, at)) return true;
  const gates = ask(turn, at, swap.gates ?? NO_GATES, at === 'step' ? `${swap.id}.${swap.at}` : swap.id);
  if (gates !== swap.gates) changeSwap(turn, { gates });
  return gates.waiting === null;
}

/** Passes all gates at this point, by the word of a person. */
export function openGates(turn: Turn, at: GatePoint): void {
  changeSwap(turn, { gates: { passed: gatesAt(turn.world.policy, at).map(({ name }) => name), waiting: null, stopped: null } });
}

/** Asks the gates that a drained version has to pass before it is released. @returns whether all are passed. */
export function mayRelease(turn: Turn, id: string): boolean {
  const { drain } = theVersion(turn, id);
  if (drain === null || drain.gates === null) return true;
  const gates = ask(turn, 'release', drain.gates, `${turn.state.name}.${id}.${drain.doneAt ?? drain.since}`);
  if (gates !== drain.gates) changeVersion(turn, id, { drain: { ...drain, gates } });
  return gates.waiting === null && gates.stopped === null;
}

/** Whether a version is not released yet, or never, for its gates. */
export function isHeld(gates: Gates | null): boolean {
  return gates !== null && (gates.waiting !== null || gates.stopped !== null);
}

/** What a gate has said about one of the waits of this state. `id` null = that of the swap, else of a version that is let go. */
interface Word {
  readonly id: string | null;
  readonly gates: Gates;
  readonly decision: 'pass' | 'wait' | 'stop';
  readonly reason: string;
  /** It has said nothing that counts: its time is over. */
  readonly timedOut: boolean;
}

/** Every wait of a state, with the version that it is about; null = the swap. */
export function waits(state: UpstreamState): { id: string | null; gates: Gates }[] {
  const found: { id: string | null; gates: Gates }[] = [];
  const swap = runningSwap(state);
  if (swap !== null && swap.gates !== null && swap.gates.waiting !== null) found.push({ id: null, gates: swap.gates });
  for (const { id, phase, drain } of state.versions)
    if (phase === 'drained' && drain !== null && drain.gates !== null && drain.gates.waiting !== null) found.push({ id, gates: drain.gates });
  return found;
}

/** Takes the answer to a question. @returns why the running swap has to go back; null = it has not to. */
export function gateAnswered(turn: Turn, key: string, decision: Word['decision'], reason: string): string | null {
  const wait = waits(turn.state).find(({ gates }) => gates.waiting?.key === key);
  return wait === undefined ? null : take(turn, { ...wait, decision, reason, timedOut: false });
}

/** Decides the waits whose time is over. @returns why the running swap has to go back; null = it has not to. */
export function gateDeadlines(turn: Turn): string | null {
  let back: string | null = null;
  for (const { id, gates } of waits(turn.state)) {
    const { waiting } = gates;
    if (waiting === null || waiting.until > turn.world.now) continue;
    const reason = `no pass in ${(waiting.until - waiting.since) / 1_000} s${waiting.said === null ? '' : `: ${waiting.said}`}`;
    back = take(turn, { id, gates, decision: waiting.onTimeout, reason, timedOut: true }) ?? back;
  }
  return back;
}

function take(turn: Turn, { id, gates, decision, reason, timedOut }: Word): string | null {
  const { waiting } = gates;
  if (waiting === null) return null;
  const { name, at, said, since } = waiting;
  if (decision === 'wait' && said === reason) return null;
  const why = `gate ${name}: ${reason}`;
  const after: Gates =
    decision === 'wait'
      ? { ...gates, waiting: { ...waiting, said: reason } }
      : { passed: decision === 'pass' ? [...gates.passed, name] : gates.passed, waiting: null, stopped: decision === 'stop' ? { name, reason } : null };
  put(turn, id, after);
  // Words that change with every question (a countdown) would fill the evidence.
  if (decision !== 'wait' || said === null) {
    const swap = turn.state.swap;
    const version = id ?? swap?.to ?? null;
    if (swap !== null && (id === null || swap.from.includes(id))) addStep(turn, 'gate', { gate: name, before: at, version, decision, reason });
    emit(turn, 'gate', version, { gate: name, before: at, decision, reason, timedOut, waitedMs: turn.world.now - since });
  }
  return id === null && decision === 'stop' ? why : null;
}

function put(turn: Turn, id: string | null, gates: Gates): void {
  if (id === null) changeSwap(turn, { gates });
  else changeVersion(turn, id, { drain: { ...theVersion(turn, id).drain!, gates } });
}
