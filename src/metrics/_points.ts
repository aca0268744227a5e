import type { MetricsSnapshot, UpstreamMetrics, VersionMetrics } from './source.ts';

/** One point of a series: labels in the order of the metric's names, and the value. */
export type Point = readonly [labels: readonly string[], value: number];

export interface Described {
  readonly type: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (now: MetricsSnapshot) => Iterable<Point>;
}

/** Of statuses. */
export const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'];

export function* eachVersion({ upstreams }: MetricsSnapshot): Generator<{ upstream: UpstreamMetrics; version: VersionMetrics; at: readonly string[] }> {
  for (const upstream of upstreams) {
    for (const version of upstream.versions) yield { upstream, version, at: [upstream.name, version.id] };
  }
}

export function perVersion(points: (version: VersionMetrics) => readonly (readonly [string, number])[]): Described['read'] {
  return function* read(now) {
    for (const { version, at } of eachVersion(now)) for (const [label, value] of points(version)) yield [[...at, label], value];
  };
}
