import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { FAILURE_LIST, REJECT_LIST } from '../errors/catalogue.ts';
import { HANDSHAKE_FAILURES } from '../errors/handshake.ts';
import { NOT_MIRRORED, STEERED } from '../ledger/layout.ts';
import type { Phase } from '../pool/phase.ts';
import { GATES, gateWaits } from './_gates.ts';
import { ReadHistogram } from './_histogram.ts';
import { BUCKET_BOUNDS, latencyOf } from './_latency.ts';
import { MIRRORED, mirroredLatency } from './_mirrored.ts';
import { CLASSES, eachVersion, perVersion } from './_points.ts';
import type { Described, Point } from './_points.ts';
import { WHOLE } from './_whole.ts';
import type { BackendMetrics, MetricsSnapshot, MetricsSource, UpstreamMetrics } from './source.ts';

export interface Metrics {
  readonly contentType: string;
  /** The exposition text of this moment: all its figures come from one snapshot. */
  text(): Promise<string>;
}

const PHASES: readonly Phase[] = ['admitting', 'standby', 'live', 'draining', 'drained'];
const NO_SWAPS: Readonly<Record<string, number>> = { done: 0, rejected: 0, 'rolled-back': 0, aborted: 0 };

function perBackend(value: (backend: BackendMetrics) => number): Described['read'] {
  return perVersion(({ backends }) => backends.map((backend) => [backend.address, value(backend)]));
}

function perUpstream(points: (upstream: UpstreamMetrics) => readonly (readonly [string, number])[]): Described['read'] {
  return function* read({ upstreams }) {
    for (const upstream of upstreams) for (const [label, value] of points(upstream)) yield [[upstream.name, label], value];
  };
}

const BACKEND = ['upstream', 'version', 'backend'];

const METRICS: readonly Described[] = [
  {
    type: 'counter',
    name: 'switchyard_requests_total',
    help: 'Requests that a version answered, by class of the status.',
    labels: ['upstream', 'version', 'code'],
    read: perVersion(({ traffic }) => (traffic === null ? [] : CLASSES.map((code, i) => [code, traffic.codes[i]]))),
  },
  {
    type: 'gauge',
    name: 'switchyard_in_flight',
    help: 'Requests, streams and tunnels that a backend has now.',
    labels: BACKEND,
    read: perBackend(({ inFlight }) => inFlight),
  },
  {
    type: 'gauge',
    name: 'switchyard_backend_healthy',
    help: '1 when the probes of a backend say that it is healthy, else 0.',
    labels: BACKEND,
    read: perBackend(({ healthy }) => (healthy ? 1 : 0)),
  },
  {
    type: 'counter',
    name: 'switchyard_backend_requests_total',
    help: 'Requests that were given to a backend, retries and those that it refused unseen included.',
    labels: BACKEND,
    read: perBackend(({ requests }) => requests),
  },
  {
    type: 'counter',
    name: 'switchyard_upstream_failures_total',
    help: 'Attempts that failed at a backend of a version, by reason.',
    labels: ['upstream', 'version', 'reason'],
    read: perVersion(({ traffic }) => (traffic === null ? [] : FAILURE_LIST.map(({ code }, i) => [code, traffic.failures[i] ?? 0]))),
  },
  {
    type: 'counter',
    name: 'switchyard_steered_requests_total',
    help: 'Requests that reached a version by another way than the split: pinned sessions and previews of one without weight, assets that another version did not have, copies of requests for others.',
    labels: ['upstream', 'version', 'by'],
    read: perVersion(({ traffic, mirrored }) =>
      traffic === null ? [] : Object.entries(STEERED).map(([by, i]) => [by, (traffic.steered[i] ?? 0) + (mirrored?.steered[i] ?? 0)]),
    ),
  },
  ...MIRRORED,
  {
    type: 'counter',
    name: 'switchyard_retries_total',
    help: 'Requests that were tried again on another backend.',
    labels: [],
    read: ({ retries }) => [[[], retries]],
  },
  {
    type: 'counter',
    name: 'switchyard_resent_requests_total',
    help: 'Requests that were sent again because a backend of a version had refused their HTTP/2 stream before it looked at it.',
    labels: ['upstream', 'version'],
    read: (now) => [...eachVersion(now)].flatMap(({ version: { traffic }, at }): Point[] => (traffic === null ? [] : [[at, traffic.resent]])),
  },
  {
    type: 'counter',
    name: 'switchyard_redirects_total',
    help: 'Requests that the rules of a route answered with another address.',
    labels: [],
    read: ({ redirects }) => [[[], redirects]],
  },
  {
    type: 'counter',
    name: 'switchyard_not_mirrored_total',
    help: 'Requests that were to be mirrored and were not, by reason.',
    labels: ['upstream', 'reason'],
    read: perUpstream(({ notMirrored }) => Object.entries(NOT_MIRRORED).map(([reason, i]) => [reason, notMirrored[i] ?? 0])),
  },
  {
    type: 'gauge',
    name: 'switchyard_waiting_requests',
    help: 'Requests that wait now: the upstream is held, has nothing to offer, or all its backends are at their limits.',
    labels: ['upstream'],
    read: ({ upstreams }) => upstreams.map(({ name, waiting }): Point => [[name], waiting]),
  },
  {
    type: 'counter',
    name: 'switchyard_killed_total',
    help: 'What a version had in flight when it was cut, by kind.',
    labels: ['upstream', 'version', 'kind'],
    read: perVersion(({ counts, workers }) => (workers === null ? Object.entries(counts.killedByKind) : [])),
  },
  {
    type: 'gauge',
    name: 'switchyard_members',
    help: 'Members of a version of workers, by what they are to do.',
    labels: ['upstream', 'version', 'order'],
    read: perVersion(({ workers }) => (workers === null ? [] : Object.entries(workers))),
  },
  {
    type: 'gauge',
    name: 'switchyard_leases_in_hand',
    help: 'Jobs that the workers of a version have in hand now, as they have reported.',
    labels: ['upstream', 'version'],
    read: (now) => [...eachVersion(now)].filter(({ version }) => version.workers !== null).map(({ version, at }): Point => [at, version.counts.inFlight]),
  },
  {
    type: 'counter',
    name: 'switchyard_leases_total',
    help: 'Jobs that the workers of a version have taken, by how they ended.',
    labels: ['upstream', 'version', 'outcome'],
    read: perVersion(({ workers, counts: { completed, upstreamFailed, clientAborted, killed } }) =>
      workers === null ? [] : Object.entries({ completed, failed: upstreamFailed, aborted: clientAborted, killed }),
    ),
  },
  {
    type: 'counter',
    name: 'switchyard_members_lost_total',
    help: 'Workers that were presumed dead because they did not report, or cut off because they did not give back what they had in hand.',
    labels: ['upstream'],
    read: ({ upstreams }) => upstreams.flatMap(({ name, members }): Point[] => (members === null ? [] : [[[name], members.lost]])),
  },
  {
    type: 'counter',
    name: 'switchyard_reports_refused_total',
    help: 'Reports of workers that were not taken: full (as many members as there may be), expired (presumed dead before), rate (too many a second).',
    labels: ['upstream', 'reason'],
    read: ({ upstreams }) =>
      upstreams.flatMap(({ name, members }): Point[] =>
        members === null ? [] : Object.entries(members.refused).map(([reason, count]): Point => [[name, reason], count]),
      ),
  },
  {
    type: 'gauge',
    name: 'switchyard_split_weight',
    help: 'Percent of the traffic of an upstream that a version gets.',
    labels: ['upstream', 'version'],
    read: (now) => Array.from(eachVersion(now), ({ version, at }): Point => [at, version.weight]),
  },
  {
    type: 'gauge',
    name: 'switchyard_version_phase',
    help: '1 for the phase that a version is in, 0 for the others.',
    labels: ['upstream', 'version', 'phase'],
    read: perVersion((version) => PHASES.map((phase) => [phase, version.phase === phase ? 1 : 0])),
  },
  {
    type: 'counter',
    name: 'switchyard_swaps_total',
    help: 'Swaps that have ended, by outcome.',
    labels: ['upstream', 'outcome'],
    read: perUpstream(({ swaps }) => Object.entries({ ...NO_SWAPS, ...swaps })),
  },
  {
    type: 'gauge',
    name: 'switchyard_swap_phase_seconds',
    help: 'Seconds that the running or last swap has spent in each of its phases.',
    labels: ['upstream', 'phase'],
    read: perUpstream(({ swapSeconds }) => Object.entries(swapSeconds)),
  },
  {
    type: 'gauge',
    name: 'switchyard_client_connections',
    help: 'Client connections that are open now.',
    labels: [],
    read: ({ clientConnections }) => [[[], clientConnections]],
  },
  {
    type: 'counter',
    name: 'switchyard_client_requests_total',
    help: 'Requests of clients whose head could be read, refused ones and streams of HTTP/2 included, by version of HTTP.',
    labels: ['protocol'],
    read: ({ requests: { http10, http11, http2 } }) => [
      [['HTTP/1.0'], http10],
      [['HTTP/1.1'], http11],
      [['HTTP/2'], http2],
    ],
  },
  {
    type: 'gauge',
    name: 'switchyard_unread_body_bytes',
    help: 'Bytes of request bodies of HTTP/2 clients that are here because their backends take no more for now.',
    labels: [],
    read: ({ unread: { bytes } }) => [[[], bytes]],
  },
  {
    type: 'counter',
    name: 'switchyard_unread_body_holds_total',
    help: 'How often an HTTP/2 client was not read from any further because there were too many of those bytes in all.',
    labels: [],
    read: ({ unread: { holds } }) => [[[], holds]],
  },
  {
    type: 'gauge',
    name: 'switchyard_clients_counted',
    help: 'Rows of the client table in use: addresses that have a connection, or have sent requests faster than their rate, while these are limited.',
    labels: [],
    read: ({ clientsCounted }) => [[[], clientsCounted]],
  },
  {
    type: 'counter',
    name: 'switchyard_clients_uncounted_total',
    help: 'Connections and requests that were let through uncounted, because the client table had no room.',
    labels: [],
    read: ({ clientsUncounted }) => [[[], clientsUncounted]],
  },
  {
    type: 'counter',
    name: 'switchyard_rejected_requests_total',
    help: 'Requests that were refused before they reached a backend, by reason.',
    labels: ['reason'],
    read: ({ rejected }) => REJECT_LIST.map(({ code }, i): Point => [[code], rejected[i] ?? 0]),
  },
  {
    type: 'counter',
    name: 'switchyard_tls_handshakes_total',
    help: 'TLS handshakes of clients by how they ended: `ok` in full, `resumed` with a session of before, or `failed` for a reason.',
    labels: ['result', 'reason'],
    read: ({ handshakes: { done, resumed, failed } }) => [
      [['ok', ''], done - resumed],
      [['resumed', ''], resumed],
      ...HANDSHAKE_FAILURES.map((reason, i): Point => [['failed', reason], failed[i] ?? 0]),
    ],
  },
  {
    type: 'counter',
    name: 'switchyard_tls_protocol_total',
    help: 'TLS handshakes that succeeded, by version of the protocol.',
    labels: ['version'],
    read: ({ handshakes: { done, tls13 } }) => [
      [['TLSv1.2'], done - tls13],
      [['TLSv1.3'], tls13],
    ],
  },
  {
    type: 'gauge',
    name: 'switchyard_tls_handshakes_under_way',
    help: 'TLS handshakes that have begun and not ended.',
    labels: [],
    read: ({ handshakes }) => [[[], handshakes.open]],
  },
  {
    type: 'counter',
    name: 'switchyard_tls_ticket_key_changes_total',
    help: 'How often the key that session tickets are encrypted with has changed.',
    labels: [],
    read: ({ ticketKeyChanges }) => [[[], ticketKeyChanges]],
  },
  {
    type: 'gauge',
    name: 'switchyard_certificate_expiry_seconds',
    help: 'When a certificate that a listener shows expires, in seconds since 1970.',
    labels: ['listener', 'name'],
    read: ({ certificates }) => certificates.map(({ listener, name, expires }): Point => [[listener, name], expires]),
  },
  {
    type: 'counter',
    name: 'switchyard_acme_renewals_total',
    help: 'Tries to get a certificate from an ACME authority, the first of each included, by how they ended.',
    labels: ['outcome'],
    read: ({ acme: { issued, failed } }) => [
      [['issued'], issued],
      [['failed'], failed],
    ],
  },
  {
    type: 'gauge',
    name: 'switchyard_acme_next_renewal_seconds',
    help: 'When a certificate is next asked for, in seconds since 1970, by its first name.',
    labels: ['name'],
    read: ({ acme: { next } }) => [...new Map(next.toReversed().map(({ name, at }) => [name, at]))].map(([name, at]): Point => [[name], at]),
  },
  {
    type: 'counter',
    name: 'switchyard_acme_challenges_total',
    help: 'Questions of ACME authorities whether a name is ours that were answered, by how they came.',
    labels: ['type'],
    read: ({ acme: { challenges } }) => [
      [['http-01'], challenges.http],
      [['tls-alpn-01'], challenges.tls],
    ],
  },
  ...GATES,
  ...WHOLE,
  {
    type: 'gauge',
    name: 'switchyard_generation',
    help: 'Generation of the table that is committed.',
    labels: [],
    read: ({ generation }) => [[[], generation]],
  },
  {
    type: 'gauge',
    name: 'switchyard_thread_acked_generation',
    help: 'Newest generation that a data thread has moved to.',
    labels: ['thread'],
    read: ({ acked }) => Object.entries(acked).map(([thread, generation]) => [[thread], generation]),
  },
];

/**
 * All metrics, filled in when they are asked for. The hot path is not touched: figures are read from the ledger.
 * Process metrics (CPU, memory, event loop of the control thread, garbage collection) are added to them.
 */
export function createMetrics(source: MetricsSource): Metrics {
  const registry = new Registry();
  let now: MetricsSnapshot;
  for (const metric of METRICS) register(registry, metric, () => now);
  new ReadHistogram(
    {
      name: 'switchyard_request_duration_seconds',
      help: 'From the request head to the end of the answer, of requests that a version answered.',
      labelNames: ['upstream', 'version'],
      buckets: [...BUCKET_BOUNDS],
      registers: [registry],
    },
    () =>
      [...eachVersion(now)].flatMap(({ version: { traffic }, at: [upstream, id] }) =>
        traffic === null ? [] : [{ labels: { upstream, version: id }, ...latencyOf(traffic) }],
      ),
  );
  mirroredLatency(registry, () => now);
  gateWaits(registry, () => now);
  collectDefaultMetrics({ register: registry });
  let scrape: Promise<string> | null = null;
  const take = async (): Promise<string> => {
    now = source.snapshot();
    // prom-client writes an event loop lag without samples as `Nan`, which is not a number of the text format.
    return (await registry.metrics()).replaceAll(/ Nan$/gm, ' NaN');
  };
  return {
    contentType: registry.contentType,
    // Scrapes at the same time share one answer, so that none sees another's snapshot half-way.
    text: () =>
      (scrape ??= take().finally(() => {
        scrape = null;
      })),
  };
}

function register(registry: Registry, { type, name, help, labels, read }: Described, now: () => MetricsSnapshot): void {
  const about = { name, help, labelNames: labels, registers: [registry] };
  const record = (values: readonly string[]): Record<string, string> => Object.fromEntries(labels.map((label, i) => [label, values[i]]));
  if (type === 'gauge') {
    const gauge: Gauge = new Gauge({
      ...about,
      collect() {
        gauge.reset();
        for (const [values, value] of read(now())) gauge.set(record(values), value);
      },
    });
  } else {
    const counter: Counter = new Counter({
      ...about,
      collect() {
        counter.reset();
        for (const [values, value] of read(now())) counter.inc(record(values), value);
      },
    });
  }
}
