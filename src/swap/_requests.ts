import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Issue } from '../errors/catalogue.ts';
import { parseAddress } from '../pool/address.ts';
import { isOpen } from '../pool/reach.ts';
import { weightOf } from '../pool/split.ts';
import type { Swap, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import { admissionDeadline } from './_admission.ts';
import { lastStepTaken, takeStep } from './_cutover.ts';
import { isGated } from './_gates.ts';
import { newSwap } from './_new-swap.ts';
import { beginAdmission, proceed } from './_onward.ts';
import { changeSwap, changeVersion, addStep, emit, findVersion, runningSwap } from './_turn.ts';
import type { Turn } from './_turn.ts';
import { listed } from './_words.ts';
import type { SwapRequest, VersionInput } from './ports.ts';

/** Versions of one upstream that are not final. */
const MAX_VERSIONS = 64;
const MAX_BACKENDS = 1_000;
/** As reports have it. */
const MEMBER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const ID = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/;

function checkBackends(input: VersionInput, byName: boolean): void {
  const errors: Issue[] = [];
  if (!ID.test(input.id))
    errors.push({ path: 'id', message: `${JSON.stringify(input.id)}: expected 1 to 100 letters, digits, dots, dashes, underscores or pluses` });
  if (input.backends.length === 0) errors.push({ path: 'backends', message: 'there is none; expected at least one backend' });
  if (input.backends.length > MAX_BACKENDS) errors.push({ path: 'backends', message: `${input.backends.length} backends; expected at most ${MAX_BACKENDS}` });
  const seen = new Set<string>();
  for (const [i, { address, weight }] of input.backends.entries()) {
    if (!(byName ? MEMBER.test(address) : parseAddress(address) !== null))
      errors.push({ path: `backends[${i}].address`, message: `${JSON.stringify(address)}: expected ${byName ? 'the name of a member' : 'host:port'}` });
    if (seen.has(address)) errors.push({ path: `backends[${i}].address`, message: `${address} is named twice` });
    seen.add(address);
    if (!Number.isInteger(weight) || weight < 1 || weight > 1_000)
      errors.push({ path: `backends[${i}].weight`, message: `${weight}: expected a whole number from 1 to 1000` });
  }
  if (errors.length > 0) throw new Refusal(REFUSAL.invalid, `${errors[0].path}: ${errors[0].message}`, {}, errors);
}

function sameBackends(version: Version, backends: VersionInput['backends']): boolean {
  const key = (list: VersionInput['backends']): string =>
    list
      .map(({ address, weight }) => `${address} ${weight}`)
      .sort()
      .join();
  return key(version.backends) === key(backends);
}

function checkSame(version: Version, backends: VersionInput['backends'] | undefined): void {
  if (backends === undefined || sameBackends(version, backends)) return;
  const has = version.backends.map(({ address }) => address);
  throw new Refusal(REFUSAL.versionExists, `Version ${version.id} is registered with other backends: ${listed(has)}.`, {
    version: version.id,
    phase: version.phase,
    backends: has,
  });
}

/** Registers a version and begins its admission, unless it is not to be probed yet. Registering the same again changes nothing. */
export function register(turn: Turn, input: VersionInput, slots: readonly number[], admitBy: number | null, probe = true): void {
  const known = findVersion(turn.state, input.id);
  if (known !== undefined) return checkSame(known, input.backends);
  const { worker } = turn.world.policy;
  checkBackends(input, worker !== null && worker.poll === null);
  if (turn.state.versions.length >= MAX_VERSIONS)
    throw new Refusal(REFUSAL.notNow, `Upstream ${turn.state.name} has ${MAX_VERSIONS} versions; remove one first.`);
  const version: Version = {
    id: input.id,
    phase: 'admitting',
    slot: slots[input.backends.length],
    backends: input.backends.map(({ address, weight }, i) => ({ address, weight, slot: slots[i] })),
    createdAt: turn.world.now,
    admittedAt: null,
    admittedHealthy: 0,
    trusted: [],
    admitBy,
    drain: null,
  };
  turn.state = { ...turn.state, versions: [...turn.state.versions, version] };
  if (probe) turn.effects.push({ type: 'probe', version, mode: 'admitting' });
  emit(turn, 'registered', version.id, { backends: version.backends.map(({ address }) => address) });
}

function swapRunning(state: UpstreamState, swap: Swap, hint: string): Refusal {
  const from = swap.from.at(0) ?? null;
  const { requestedBy, requestedAt } = swap;
  const detail = `A ${swap.kind} of ${state.name} ${from === null ? '' : `from ${from} `}to ${swap.to}, asked for by ${requestedBy}, is running (${swap.state})${hint}.`;
  return new Refusal(REFUSAL.swapRunning, detail, {
    swap: swap.id,
    from,
    to: swap.to,
    state: swap.state,
    requestedBy,
    requestedAt: new Date(requestedAt).toISOString(),
  });
}

export function refuseRunning(state: UpstreamState, hint = ''): void {
  const swap = runningSwap(state);
  if (swap !== null) throw swapRunning(state, swap, hint);
}

/** Starts a swap; when the version is live already or this very swap is running, nothing changes. */
export function startSwap(turn: Turn, request: SwapRequest, slots: readonly number[], id: string, by: string): void {
  const running = runningSwap(turn.state);
  const known = findVersion(turn.state, request.to);
  if (running !== null && running.to !== request.to) refuseRunning(turn.state);
  if (known !== undefined) checkSame(known, request.backends);
  if (running !== null) {
    if (running.state === 'rolling-back') refuseRunning(turn.state, '; it is going back');
    return;
  }
  if (known === undefined && request.backends === undefined) throw unknownVersion(turn.state, request.to);
  if (weightOf(turn.state.split, request.to) === 100) return;
  if (known?.phase === 'draining')
    throw new Refusal(REFUSAL.notNow, `Version ${known.id} is draining; swap to it once it is drained and kept, or roll back.`, {
      version: known.id,
      phase: known.phase,
    });
  const swap = newSwap(turn, { request, id, by, kind: known?.phase === 'drained' ? 'rollback' : 'swap' });
  const gated = isGated(turn, swap, 'admission');
  const admitBy = gated ? null : admissionDeadline(turn, swap);
  if (known === undefined) register(turn, { id: request.to, backends: request.backends ?? [] }, slots, admitBy, !gated);
  else if (known.phase === 'admitting' && !gated) changeVersion(turn, known.id, { admitBy });
  begin(turn, swap);
  if (request.started !== undefined) addStep(turn, 'started', { ...request.started });
  beginAdmission(turn);
}

export function unknownVersion(state: UpstreamState, id: string): Refusal {
  const past = state.history.findLast((entry) => entry.version.id === id);
  const known = state.versions.map((version) => version.id);
  const detail =
    past === undefined
      ? `Upstream ${state.name} has no version ${id}; it has ${listed(known)}.`
      : `Version ${id} was ${past.version.phase}; name its backends to register it anew.`;
  return new Refusal(REFUSAL.noVersion, detail, { version: id, versions: known });
}

/** First version of an upstream from the configuration: probed without a time limit, live as soon as it passes. */
export function seed(turn: Turn, input: VersionInput, slots: readonly number[], id: string, by: string): void {
  if (turn.state.swap !== null || turn.state.split.length > 0) return;
  const swap = { ...newSwap(turn, { request: { to: input.id }, id, by, kind: 'seed' }), admissionTimeout: null };
  register(turn, input, slots, null);
  changeVersion(turn, input.id, { admitBy: null });
  begin(turn, swap);
  proceed(turn);
}

function begin(turn: Turn, swap: Swap): void {
  turn.state = { ...turn.state, swap };
  addStep(turn, 'requested', { by: swap.requestedBy, from: swap.from, to: swap.to });
  emit(turn, 'swap-started', swap.to, { swap: swap.id, kind: swap.kind, from: swap.from, to: swap.to });
}

/** Goes back to a version that is kept, or that drains still. */
export function rollback(turn: Turn, to: string | null, id: string, by: string): void {
  const running = runningSwap(turn.state);
  if (running !== null && !lastStepTaken(turn, running)) refuseRunning(turn.state, running.state === 'rolling-back' ? '' : '; abort it to go back');
  if (running !== null && running.state !== 'draining') refuseRunning(turn.state, '; its last step is being published');
  const target = running === null ? keptVersion(turn, to) : drainingVersion(turn, running, to);
  const swap = newSwap(turn, { request: { to: target.id }, id, by, kind: 'rollback' });
  if (running !== null) {
    const reason = `rolled back to ${target.id} by ${by}`;
    addStep(turn, 'rolled-back', { reason });
    changeSwap(turn, { state: 'rolled-back', reason });
    emit(turn, 'rolled-back', running.to, { swap: running.id, reason });
  }
  begin(turn, swap);
  if (target.phase === 'draining') takeStep(turn, swap);
  else proceed(turn);
}

function keptVersion(turn: Turn, to: string | null): Version {
  const state = turn.state;
  if (to === null) {
    const kept = state.versions.filter((version) => version.phase === 'drained' || isOpen(version)).sort((a, b) => leftAt(b) - leftAt(a));
    if (kept.length === 0)
      throw new Refusal(REFUSAL.nothingKept, `No earlier version of ${state.name} is kept; keep one with rollback.keep.`, { upstream: state.name });
    return kept[0];
  }
  const version = findVersion(state, to);
  if (version === undefined && state.history.some((past) => past.version.id === to)) {
    throw new Refusal(REFUSAL.nothingKept, `Version ${to} is gone: it was ${state.history.findLast((past) => past.version.id === to)?.version.phase}.`, {
      version: to,
    });
  }
  if (version === undefined) throw unknownVersion(state, to);
  if (version.phase === 'drained' || (version.phase === 'draining' && version.drain?.then === 'released' && version.trusted.length > 0)) return version;
  throw new Refusal(REFUSAL.notNow, `Version ${to} is ${version.phase}; a rollback needs a version that is kept.`, { version: to, phase: version.phase });
}

/** When it was drained; one that is open has left later than any that is. */
function leftAt({ drain }: Version): number {
  return drain?.doneAt ?? drain?.openUntil ?? 0;
}

function drainingVersion(turn: Turn, running: Swap, to: string | null): Version {
  const id = to ?? running.from.find((name) => findVersion(turn.state, name)?.phase === 'draining');
  const version = id === undefined ? undefined : findVersion(turn.state, id);
  if (version?.phase === 'draining' && running.from.includes(version.id)) return version;
  throw swapRunning(turn.state, running, `; only a version that it drains (${listed(running.from)}) can be taken back now`);
}
