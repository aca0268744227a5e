import type { Health } from '../pool/phase.ts';

/** What is known of a backend when it is decided whether it gets traffic. */
export interface Candidate {
  /** It passed the admission of its version. */
  readonly admitted: boolean;
  readonly health: Health;
  /** Ejected as an outlier. */
  readonly ejected: boolean;
  /** Taken out of the rotation by an operator. */
  readonly stopped: boolean;
}

/**
 * Which backends of a version may get traffic, in their order.
 *
 * Normally those that are admitted, not known to be bad, and not ejected or stopping. An admitted backend of unknown health has
 * nothing against it: after a restart the committed split is served at once. When fewer than `failOpen` percent of the admitted
 * ones are well, or none is left, health is not believed and all admitted ones are used, those that want to stop only when there
 * is no other. A backend that was never admitted is never used.
 * @param failOpen percent; 0 = health is always believed
 */
export function availableOf(candidates: readonly Candidate[], failOpen: number): boolean[] {
  const admitted = candidates.filter((candidate) => candidate.admitted);
  const well = admitted.filter(isWell).length;
  if (failOpen > 0 && well * 100 < failOpen * admitted.length) return openUp(candidates);
  const normal = candidates.map((candidate) => candidate.admitted && isWell(candidate) && !candidate.stopped && !candidate.ejected);
  if (normal.includes(true)) return normal;
  // An ejection is an opinion about one of several: it never leaves a version without a backend.
  const pardoned = candidates.map((candidate) => candidate.admitted && isWell(candidate) && !candidate.stopped);
  if (pardoned.includes(true) || failOpen === 0) return pardoned;
  return openUp(candidates);
}

function openUp(candidates: readonly Candidate[]): boolean[] {
  const willing = candidates.map((candidate) => candidate.admitted && !candidate.stopped && candidate.health !== 'stopping');
  return willing.includes(true) ? willing : candidates.map((candidate) => candidate.admitted);
}

function isWell({ health }: Candidate): boolean {
  return health === 'healthy' || health === 'unknown';
}
