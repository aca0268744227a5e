/**
 * The statistics of a canary, on sums that are looked at again and again while they grow.
 *
 * A test that is made for one look raises far more false alarms than it states when it is repeated each second. What is
 * used here keeps its rate over any number of looks, at any times: the *e-process*, a likelihood ratio of "there is a
 * difference" against "there is none", mixed over differences of several sizes. Without a difference it is a
 * non-negative martingale that begins at 1, so the chance that it *ever* reaches 1/α is at most α (Ville's inequality).
 *
 * Errors: each error that happens belongs to the new version or to the others; without a difference it is the new one's
 * with the share that this has of all requests, however often errors happen at that time, so that trouble which all
 * versions share cancels out. M. Lindon and A. Malek, "Anytime-Valid Inference For Multinomial Count Data", NeurIPS 2022;
 * the mixture over alternatives is H. Robbins' ("Statistical methods related to the law of the iterated logarithm", 1970).
 *
 * Latency: of the requests, the share 1 − p is slower than the p-quantile, whatever the distribution. The same test tells
 * which ranks that quantile may have. S. R. Howard and A. Ramdas, "Sequential estimation of quantiles with applications
 * to A/B testing and best-arm identification", Bernoulli 28(3), 2022.
 *
 * Both take requests as independent of each other. Pure.
 */
import { BIN_BOUNDS } from '../ledger/layout.ts';

/** Sizes of a difference, as ratios of odds; smaller ones than about half the first are not found, however many requests there are. */
const RATIOS: readonly number[] = [1.25, 1.5, 2, 3, 5, 10];

/**
 * How strongly `hits` of `of` speak for a true share above `share` (or, with `below`, under it): the natural logarithm of an
 * e-process. Without such a difference the chance that it ever reaches ln(1/α), over all looks, is at most α.
 */
export function evidence(hits: number, of: number, share: number, below = false): number {
  if (of <= 0 || share <= 0 || share >= 1) return 0;
  let most = -Infinity;
  const logs: number[] = [];
  for (const ratio of RATIOS) {
    const odds = below ? 1 / ratio : ratio;
    // The alternative's share is share·odds / (1 + share·(odds − 1)); its likelihood ratio for a hit is odds / norm, for a miss 1 / norm.
    const log = hits * Math.log(odds) - of * Math.log1p(share * (odds - 1));
    logs.push(log);
    most = Math.max(most, log);
  }
  const sum = logs.reduce((total, log) => total + Math.exp(log - most), 0);
  return most + Math.log(sum / RATIOS.length);
}

/** The fewest hits of `of` at which the evidence for a share above `share` reaches `enough`; more than `of` when none does. */
export function fewestAbove(of: number, share: number, enough: number): number {
  let [low, high] = [Math.floor(of * share), of + 1];
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (evidence(middle, of, share) >= enough) high = middle;
    else low = middle;
  }
  return high;
}

/** The most hits of `of` at which the evidence for a share under `share` reaches `enough`; −1 when none does. */
export function mostBelow(of: number, share: number, enough: number): number {
  let [low, high] = [-1, Math.ceil(of * share)];
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (evidence(middle, of, share, true) >= enough) low = middle;
    else high = middle;
  }
  return low;
}

/** Latency in milliseconds that `slower` of the requests in these bins exceed; within a bin they are taken as spread evenly. */
export function exceededBy(bins: readonly number[], slower: number): number {
  let above = 0;
  for (let bin = bins.length - 1; bin >= 0; bin--) {
    const inside = bins[bin];
    if (inside === 0 || above + inside < slower) {
      above += inside;
      continue;
    }
    const from = bin === 0 ? 0 : BIN_BOUNDS[bin - 1];
    // The last bin has no end.
    const to = BIN_BOUNDS.at(bin) ?? from;
    return (to - ((slower - above) / inside) * (to - from)) * 1_000;
  }
  return 0;
}

/** How many of the requests in these bins were slower than `ms`; whole bins only, so that it is never too many. */
export function slowerThan(bins: readonly number[], ms: number): number {
  let count = 0;
  for (let bin = bins.length - 1; bin > 0 && BIN_BOUNDS[bin - 1] * 1_000 >= ms; bin--) count += bins[bin];
  return count;
}

/** Where a quantile surely lies, in milliseconds: the bounds are wrong at any of all looks with a chance of at most exp(−enough) each. */
export interface QuantileBounds {
  readonly measured: number;
  readonly low: number;
  /** Infinity while there are too few requests to tell. */
  readonly high: number;
}

export function quantileBounds(bins: readonly number[], quantile: number, enough: number): QuantileBounds {
  const of = bins.reduce((sum, count) => sum + count, 0);
  const tail = 1 - quantile;
  if (of === 0) return { measured: 0, low: 0, high: Infinity };
  const most = fewestAbove(of, tail, enough);
  const fewest = mostBelow(of, tail, enough);
  return {
    measured: exceededBy(bins, of * tail),
    low: most > of ? 0 : exceededBy(bins, most),
    high: fewest < 0 ? Infinity : exceededBy(bins, fewest),
  };
}
