import { MAGLEV_SIZE } from './maglev.ts';
import type { Gauges, Rotation } from './rotation.ts';

/** No candidate is available. */
export const NONE = -1;
/** Candidates are available, but each is at its limit. */
export const FULL = -2;

/**
 * Picks a candidate that is available, below its limit and not in `tried`.
 * @param tried slots that this request has been sent to already. @param key hash of the client's key, for maglev. @param random in [0, 1).
 * @returns index in the rotation, NONE or FULL.
 */
export function pick(rotation: Rotation, gauges: Gauges, tried: readonly number[], key: number, random: () => number): number {
  if (rotation.slots.length === 1) return usable(rotation, gauges, tried, 0) ? 0 : refusal(rotation, gauges);
  switch (rotation.balance) {
    case 'round-robin':
      return roundRobin(rotation, gauges, tried);
    case 'random':
      return sample(rotation, gauges, tried, random, NONE);
    case 'maglev':
      return consistent(rotation, gauges, tried, key);
    default:
      return leastInFlight(rotation, gauges, tried, random);
  }
}

function usable(rotation: Rotation, gauges: Gauges, tried: readonly number[], index: number): boolean {
  const slot = rotation.slots[index];
  if (!gauges.available(slot)) return false;
  if (tried.length > 0 && tried.includes(slot)) return false;
  return !rotation.limited || hasRoom(rotation, gauges, index);
}

/** Whether a candidate is below its limits. */
function hasRoom({ slots, limit, sockets, spare }: Rotation, gauges: Gauges, index: number): boolean {
  if (limit !== Infinity && gauges.inFlight(slots[index]) >= limit) return false;
  return sockets === Infinity || spare[index].length > 0 || gauges.openSockets(slots[index]) < sockets;
}

/**
 * What becomes of a request that wants this candidate and no other.
 * @returns the index, NONE when it is not available, FULL when it is at a limit.
 */
export function pickOne(rotation: Rotation, gauges: Gauges, tried: readonly number[], index: number): number {
  if (usable(rotation, gauges, tried, index)) return index;
  return gauges.available(rotation.slots[index]) && !tried.includes(rotation.slots[index]) ? FULL : NONE;
}

function refusal(rotation: Rotation, gauges: Gauges): number {
  if (!rotation.limited) return NONE;
  for (let i = 0; i < rotation.slots.length; i++) if (gauges.available(rotation.slots[i]) && !hasRoom(rotation, gauges, i)) return FULL;
  return NONE;
}

/** The better of two that are drawn by weight (Mitzenmacher 2001): near the best load at the price of two looks. */
function leastInFlight(rotation: Rotation, gauges: Gauges, tried: readonly number[], random: () => number): number {
  const first = sample(rotation, gauges, tried, random, NONE);
  if (first < 0) return first;
  const second = sample(rotation, gauges, tried, random, first);
  if (second < 0) return first;
  const { slots } = rotation;
  const weight = effective(rotation, gauges, first);
  return gauges.inFlight(slots[second]) * weight < gauges.inFlight(slots[first]) * effective(rotation, gauges, second) ? second : first;
}

/** Weight of a candidate now, in thousandths; never 0, so that one that has just begun is still one. */
function effective(rotation: Rotation, gauges: Gauges, index: number): number {
  return rotation.weights[index] * Math.max(1, gauges.weight(rotation.slots[index]));
}

/** A usable candidate by effective weight, other than `except`. */
function sample(rotation: Rotation, gauges: Gauges, tried: readonly number[], random: () => number, except: number): number {
  const { slots, sums } = rotation;
  const count = slots.length;
  if (count === 0) return NONE;
  const index = drawn(sums, random() * sums[count - 1]);
  const eased = gauges.weight(slots[index]);
  if (index !== except && (eased >= 1000 || random() * 1000 < eased) && usable(rotation, gauges, tried, index)) return index;
  return sampleAll(rotation, gauges, tried, random, except);
}

/** Draws among all: what falls to one that cannot be used goes to the others by their weights, not to its neighbour. */
function sampleAll(rotation: Rotation, gauges: Gauges, tried: readonly number[], random: () => number, except: number): number {
  let chosen = NONE;
  let sum = 0;
  for (let i = 0; i < rotation.slots.length; i++) {
    if (i === except || !usable(rotation, gauges, tried, i)) continue;
    const weight = effective(rotation, gauges, i);
    sum += weight;
    if (random() * sum < weight) chosen = i;
  }
  return chosen === NONE ? refusal(rotation, gauges) : chosen;
}

function drawn(sums: Float64Array, value: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Smooth weighted round robin: each usable candidate earns its weight, the richest pays for all. */
function roundRobin(rotation: Rotation, gauges: Gauges, tried: readonly number[]): number {
  const { weights, credit } = rotation;
  let best = NONE;
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    if (!usable(rotation, gauges, tried, i)) continue;
    const weight = (weights[i] * gauges.weight(rotation.slots[i])) / 1000;
    credit[i] += weight;
    total += weight;
    if (best === NONE || credit[i] > credit[best]) best = i;
  }
  if (best === NONE) return refusal(rotation, gauges);
  credit[best] -= total;
  return best;
}

/** The backend of the key's entry, or of the next entries when that one cannot be used. */
function consistent(rotation: Rotation, gauges: Gauges, tried: readonly number[], key: number): number {
  const table = rotation.maglev;
  if (table === null || rotation.slots.length === 0) return NONE;
  let at = (key >>> 0) % MAGLEV_SIZE;
  if (usable(rotation, gauges, tried, table[at])) return table[at];
  // The table is long: it is walked only when the walk will end.
  const last = firstUsable(rotation, gauges, tried);
  if (last === NONE) return refusal(rotation, gauges);
  for (let step = 1; step < MAGLEV_SIZE; step++) {
    at = at + 1 === MAGLEV_SIZE ? 0 : at + 1;
    if (usable(rotation, gauges, tried, table[at])) return table[at];
  }
  return last;
}

function firstUsable(rotation: Rotation, gauges: Gauges, tried: readonly number[]): number {
  for (let i = 0; i < rotation.slots.length; i++) if (usable(rotation, gauges, tried, i)) return i;
  return NONE;
}
