/**
 * The split: how an upstream shares its traffic among its versions.
 *
 * Weights are whole percents that sum to 100 (or there is no entry at all: nothing is live). Order
 * matters: newest first, so that the incoming version of a canary owns the buckets [0, weight × 100)
 * and raising its weight only ever moves clients from old to new.
 */
export interface Share {
  readonly version: string;
  readonly weight: number;
}

export type Split = readonly Share[];

export const BUCKETS = 10_000;

/** The reason a split is not valid, or null. */
export function splitProblem(split: Split): string | null {
  const seen = new Set<string>();
  let sum = 0;
  for (const { version, weight } of split) {
    if (seen.has(version)) return `version ${version} is named twice`;
    seen.add(version);
    if (!Number.isInteger(weight) || weight < 1 || weight > 100) return `the weight of ${version} is ${weight}; expected a whole number from 1 to 100`;
    sum += weight;
  }
  return split.length === 0 || sum === 100 ? null : `the weights sum to ${sum}; expected 100`;
}

/** Weight of a version, 0 when it has none. */
export function weightOf(split: Split, version: string): number {
  return split.find((share) => share.version === version)?.weight ?? 0;
}

/** The split as the admin API shows it: `{v2: 25, v1: 75}`. */
export function splitRecord(split: Split): Record<string, number> {
  return Object.fromEntries(split.map(({ version, weight }) => [version, weight]));
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a over the char codes of `key`, going on from `seed`. */
export function hashText(key: string, seed: number = FNV_OFFSET): number {
  let hash = seed;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), FNV_PRIME);
  return hash;
}

/**
 * Bucket of a key in [0, 10000). `seed` is `hashText(upstream)`, so that two upstreams do not pick
 * the same clients for their canaries.
 */
export function bucketOf(seed: number, key: string): number {
  let hash = hashText(key, seed);
  // FNV's low bits are weak for short keys: murmur3's finaliser spreads them.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return (hash >>> 0) % BUCKETS;
}
