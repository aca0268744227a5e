import { fewOf } from '../errors/message.ts';
import type { BackendHealth } from '../health/evidence.ts';
import type { Swap } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import { endSwap, retire, startDrain } from './_drain.ts';
import { addStep, changeSwap, changeVersion, emit, findVersion, healthOf, moveVersion, runningSwap, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';
import { describeBackend, wordsOf } from './_words.ts';

/** The running swap that is before the admission of this version, or null. */
function admittingSwap(turn: Turn, id: string): Swap | null {
  const swap = runningSwap(turn.state);
  return swap !== null && swap.to === id && swap.state === 'admitting' ? swap : null;
}

/** The running swap that waits for the admission of this version, or null. One that waits at a gate before it does not. */
function waitingSwap(turn: Turn, id: string): Swap | null {
  const swap = admittingSwap(turn, id);
  return swap === null || swap.gates !== null ? null : swap;
}

function isAdmitting(turn: Turn, version: Version): boolean {
  return version.phase === 'admitting' || waitingSwap(turn, version.id) !== null;
}

/** How many backends must be ready. */
export function readyNeeded(turn: Turn, version: Version, swap: Swap | null): number {
  const of = version.backends.length;
  const minReady = (swap?.to === version.id ? swap.minReady : null) ?? turn.world.policy.admission.minReady ?? of;
  return Math.max(1, Math.min(of, minReady));
}

/** Deadline of an admission that begins now; null = none. */
export function admissionDeadline(turn: Turn, swap: Swap | null): number | null {
  const timeout = swap === null ? turn.world.policy.admission.timeout : swap.admissionTimeout;
  return timeout === null ? null : turn.world.now + timeout;
}

/** A version that was admitted before is probed again before the swap goes on. */
export function askAgain(turn: Turn, swap: Swap): void {
  const version = theVersion(turn, swap.to);
  const probed = changeVersion(turn, swap.to, { admitBy: admissionDeadline(turn, swap) });
  changeSwap(turn, { state: 'admitting', gates: null });
  turn.effects.push({ type: 'probe', version: probed, mode: version.phase === 'admitting' ? 'admitting' : 'fresh' });
}

/** Backends that have passed since the round began: evidence from before it does not count. */
export function passed(turn: Turn, version: Version): string[] {
  const seen = turn.world.health(version);
  const probed = turn.world.policy.health.kind !== 'none';
  return version.backends
    .map(({ address }) => address)
    .filter((address) => {
      const backend = seen.get(address);
      return backend?.health === 'healthy' && (!probed || backend.run > 0);
    });
}

/** New evidence about a version: admits it when enough of its backends pass, trusts backends that pass later. */
export function admissionHealth(turn: Turn, id: string): void {
  const version = findVersion(turn.state, id);
  if (version === undefined) return;
  const ready = passed(turn, version);
  if (isAdmitting(turn, version)) {
    if (ready.length >= readyNeeded(turn, version, waitingSwap(turn, id))) admit(turn, version, ready);
    return;
  }
  if (version.phase === 'standby' || version.phase === 'live' || version.phase === 'drained') trust(turn, version, ready);
}

function trust(turn: Turn, version: Version, ready: readonly string[]): void {
  const added = ready.filter((address) => !version.trusted.includes(address));
  if (added.length === 0) return;
  const trusted = changeVersion(turn, version.id, { trusted: [...version.trusted, ...added] });
  turn.effects.push({ type: 'trust', version: trusted, addresses: added });
}

function admit(turn: Turn, version: Version, ready: readonly string[]): void {
  const swap = waitingSwap(turn, version.id);
  const facts = { version: version.id, healthy: ready.length, of: version.backends.length };
  if (version.phase === 'admitting') {
    moveVersion(turn, version.id, 'standby', { admittedAt: turn.world.now, admittedHealthy: ready.length, admitBy: null });
    emit(turn, 'admitted', version.id, facts);
  } else {
    changeVersion(turn, version.id, { admitBy: null });
  }
  trust(turn, theVersion(turn, version.id), ready);
  turn.effects.push({ type: 'probe', version: theVersion(turn, version.id), mode: 'steady' }, { type: 'publish' });
  if (swap === null) return;
  addStep(turn, 'admitted', facts);
  changeSwap(turn, { state: 'standby' });
}

/** Rejects what has not passed by its deadline. */
export function admissionDeadlines(turn: Turn): void {
  for (const { id, admitBy } of turn.state.versions) {
    if (admitBy === null || admitBy > turn.world.now) continue;
    admissionHealth(turn, id);
    const version = theVersion(turn, id);
    if (isAdmitting(turn, version)) reject(turn, version);
    else changeVersion(turn, id, { admitBy: null });
  }
}

function reject(turn: Turn, version: Version): void {
  const seen = turn.world.health(version);
  const ready = passed(turn, version);
  const swap = admittingSwap(turn, version.id);
  const need = readyNeeded(turn, version, swap);
  const missing = version.backends.filter(({ address }) => !ready.includes(address));
  const words = wordsOf(turn.world.policy);
  const named = fewOf(missing.map(({ address }) => describeBackend(address, seen.get(address), words))).join('; ');
  const reason = `${ready.length} of ${version.backends.length} ${words.backends} passed in time, ${need} needed: ${named}`;
  if (swap !== null) changeSwap(turn, { reason });
  withdraw(turn, version, reason);
  if (swap === null) return;
  const said = turn.world.said?.(version);
  const backends = Object.fromEntries(
    version.backends.map(({ address }) => {
      const output = ready.includes(address) ? [] : (said?.get(address) ?? []);
      return [address, { ...lastProbe(seen.get(address)), ...(output.length === 0 ? {} : { output }) }];
    }),
  );
  addStep(turn, 'not admitted', { version: version.id, healthy: ready.length, of: version.backends.length, backends });
  endSwap(turn, 'rejected', reason);
}

function lastProbe(backend: BackendHealth | undefined): Record<string, unknown> {
  const probe = backend?.probes.at(-1);
  return { health: backend?.health ?? 'unknown', lastProbe: probe === undefined ? null : { ...probe, at: new Date(probe.at).toISOString() } };
}

/** Takes a version without traffic out of the way: a kept one stays kept, a new one is rejected. */
export function withdraw(turn: Turn, version: Version, reason: string): void {
  if (version.phase === 'admitting') retire(turn, version, 'rejected', reason);
  else if (version.phase === 'standby') startDrain(turn, version.id, { ...turn.world.policy.drain, keep: 0, gated: false, open: 0, then: 'rejected' });
  else {
    changeVersion(turn, version.id, { admitBy: null });
    turn.effects.push({ type: 'probe', version, mode: 'steady' });
  }
}

/** Whether enough backends of a version that was admitted before are healthy now. */
export function isReady(turn: Turn, version: Version, swap: Swap): boolean {
  return healthOf(turn, version).healthy >= readyNeeded(turn, version, swap);
}
