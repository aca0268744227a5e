import type { UpstreamPolicy } from './policy.ts';
import type { Version } from './version.ts';

/**
 * Doors to a version beside its weight. A version without weight is in the table for as long as one of them is open, and its
 * drain is proven from the first generation on in which all of them are closed.
 */
export interface Reach {
  /** Requests pinned to it. */
  readonly pins: boolean;
  /** Assets that another version answers with 404. */
  readonly assets: boolean;
  /** Requests that name it in a preview field. */
  readonly preview: boolean;
  /** Copies of requests for others. */
  readonly mirror: boolean;
}

export const NO_REACH: Reach = { pins: false, assets: false, preview: false, mirror: false };

/** Whether a version that lost its weight is still open to sessions of before. */
export function isOpen({ phase, drain }: Version): boolean {
  return phase === 'draining' && drain !== null && drain.openUntil !== null;
}

/** The doors to a version. None to one that is not admitted, or whose drain has begun. */
export function reachOf(version: Version, { skew, preview, mirror }: UpstreamPolicy): Reach {
  const serving = version.phase === 'live' || isOpen(version);
  if (!serving && version.phase !== 'standby') return NO_REACH;
  return {
    pins: serving && skew !== null && skew.pin !== null,
    assets: serving && skew !== null && skew.assets.length > 0,
    preview: preview !== null,
    mirror: version.phase === 'standby' && mirror !== null && (mirror.to === null || mirror.to === version.id),
  };
}

/** Whether a request may begin on a version. */
export function isRoutable(version: Version, weight: number, policy: UpstreamPolicy): boolean {
  const { pins, assets, preview, mirror } = reachOf(version, policy);
  return weight > 0 || pins || assets || preview || mirror;
}

/** Milliseconds that a version which loses its weight stays open; 0 = not at all. */
export function openFor({ skew }: UpstreamPolicy): number {
  return skew === null ? 0 : skew.for;
}
