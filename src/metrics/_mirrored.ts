import type { Registry } from 'prom-client';
import { FAILURE_LIST } from '../errors/catalogue.ts';
import { ReadHistogram } from './_histogram.ts';
import { BUCKET_BOUNDS, latencyOf } from './_latency.ts';
import { CLASSES, eachVersion, perVersion } from './_points.ts';
import type { Described } from './_points.ts';
import type { MetricsSnapshot } from './source.ts';

/** Of copies of requests, which are in no other series of a version; only versions that have got some have these. */
export const MIRRORED: readonly Described[] = [
  {
    type: 'counter',
    name: 'switchyard_mirrored_requests_total',
    help: 'Copies of requests for another version that a version answered, by class of the status.',
    labels: ['upstream', 'version', 'code'],
    read: perVersion(({ mirrored }) => (mirrored === null ? [] : CLASSES.map((code, i) => [code, mirrored.codes[i]]))),
  },
  {
    type: 'counter',
    name: 'switchyard_mirrored_failures_total',
    help: 'Copies of requests that failed at a backend of a version, by reason.',
    labels: ['upstream', 'version', 'reason'],
    read: perVersion(({ mirrored }) => (mirrored === null ? [] : FAILURE_LIST.map(({ code }, i) => [code, mirrored.failures[i] ?? 0]))),
  },
];

/** How long copies take. */
export function mirroredLatency(registry: Registry, now: () => MetricsSnapshot): void {
  new ReadHistogram(
    {
      name: 'switchyard_mirrored_request_duration_seconds',
      help: 'From the sending of a copy of a request to the end of its answer.',
      labelNames: ['upstream', 'version'],
      buckets: [...BUCKET_BOUNDS],
      registers: [registry],
    },
    () =>
      [...eachVersion(now())].flatMap(({ version: { mirrored }, at: [upstream, version] }) =>
        mirrored === null ? [] : [{ labels: { upstream, version }, ...latencyOf(mirrored) }],
      ),
  );
}
