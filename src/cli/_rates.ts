import type { UpstreamView, VersionView } from '../control/operations.ts';

/** Requests and failures a second of a version since the look before. */
export interface Rate {
  readonly requests: number;
  readonly failed: number;
}

interface Look {
  readonly at: number;
  readonly counts: VersionView['counts'];
}

/** Rates over the last seconds: a single look apart would only show noise. */
const WINDOW_MS = 5_000;

/** Turns the counts of one look after another into rates, version by version. */
export class Rates {
  private readonly looks = new Map<string, Look[]>();

  /** Takes a look. @param now milliseconds of a clock that never goes back. */
  take(upstreams: readonly UpstreamView[], now: number): void {
    const seen = new Set<string>();
    for (const { name, versions } of upstreams) {
      for (const { id, counts } of versions) {
        const key = keyOf(name, id);
        seen.add(key);
        const looks = (this.looks.get(key) ?? []).filter(({ at, counts: before }) => now - at <= WINDOW_MS && before.started <= counts.started);
        looks.push({ at: now, counts });
        this.looks.set(key, looks);
      }
    }
    for (const key of this.looks.keys()) if (!seen.has(key)) this.looks.delete(key);
  }

  /** null = there was no second look yet. */
  of(upstream: string, version: string): Rate | null {
    const looks = this.looks.get(keyOf(upstream, version)) ?? [];
    const first = looks.at(0);
    const last = looks.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return null;
    const seconds = (last.at - first.at) / 1_000;
    return { requests: (last.counts.started - first.counts.started) / seconds, failed: (last.counts.upstreamFailed - first.counts.upstreamFailed) / seconds };
  }
}

function keyOf(upstream: string, version: string): string {
  return `${upstream} ${version}`;
}
