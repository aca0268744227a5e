import t from 'tap';
import { FAILURE_LIST, REJECT_LIST } from '../../src/errors/catalogue.ts';
import { ControlLedger, emptyCounts } from '../../src/ledger/control.ts';
import { BIN_BOUNDS } from '../../src/ledger/layout.ts';
import { KIND, OUTCOME, ThreadLedger } from '../../src/ledger/thread.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import type { GateMetrics, MetricsSnapshot, UpstreamMetrics, VersionMetrics } from '../../src/metrics/source.ts';

interface Family {
  readonly type: string;
  readonly help: string;
  /** Value by `name{label="value",…}`, labels in alphabetical order. */
  readonly series: Map<string, number>;
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/;

/** Reads the text format strictly: each line is known, each series is of a family announced before it, and none comes twice. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let help = '';
  let family: [string, Family] = ['', { type: '', help: '', series: new Map() }];
  if (!text.endsWith('\n')) throw new Error('no line end at the end');
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, keyword, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') help = rest;
    else if (keyword === 'TYPE') {
      if (families.has(name)) throw new Error(`family ${name} twice`);
      family = [name, { type: rest, help, series: new Map() }];
      families.set(...family);
    } else addSeries(family, line);
  }
  return families;
}

function addSeries([name, { type, series }]: [string, Family], line: string): void {
  const match = LINE.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const known = type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name];
  if (!known.includes(match[1])) throw new Error(`${match[1]} in family ${name}`);
  const labels = (match[2] ?? '').match(/[a-zA-Z_]+="(?:[^"\\]|\\.)*"/g) ?? [];
  const key = labels.length === 0 ? match[1] : `${match[1]}{${labels.toSorted().join(',')}}`;
  if (series.has(key)) throw new Error(`series twice: ${line}`);
  series.set(key, Number(match[3].replace('Inf', 'Infinity')));
}

function versionOf(ledger: ControlLedger, id: string, slots: number[], change: Partial<VersionMetrics> = {}): VersionMetrics {
  const counts = slots.reduce((sum, slot) => ledger.addCounts(sum, slot), emptyCounts());
  const backends = slots.map((slot, i) => {
    const own = ledger.addCounts(emptyCounts(), slot);
    return { address: `10.0.0.${i + 1}:80`, healthy: i === 0, inFlight: own.inFlight, requests: own.started };
  });
  return { id, phase: 'live', weight: 100, counts, workers: null, traffic: ledger.traffic(slots), mirrored: null, backends, ...change };
}

/** Waits of 0.1 s at most, up to 300 s, and of more than a day. */
const CHECKS = { pass: 5, fail: 4, 'no-data': 3, error: 2, timeout: 1 };
const GATE: GateMetrics = {
  before: 'step',
  asked: 9,
  answers: { pass: 2, wait: 4, stop: 1, failed: 2 },
  timeouts: 1,
  bins: [2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
  seconds: 90_300,
  waiting: 1,
};

function snapshotOf(versions: VersionMetrics[], change: Partial<MetricsSnapshot> = {}, web: Partial<UpstreamMetrics> = {}): MetricsSnapshot {
  return {
    generation: 9,
    acked: { 0: 9, 1: 8 },
    clientConnections: 12,
    clientsCounted: 5,
    clientsUncounted: 2,
    retries: 3,
    unread: { bytes: 70_000, holds: 13 },
    redirects: 6,
    handshakes: { done: 9, resumed: 4, tls13: 6, open: 1, failed: [2] },
    certificates: [{ listener: '0.0.0.0:443', name: 'a.example', expires: 1_800_000_000 }],
    acme: { issued: 2, failed: 1, next: [{ name: 'a.example', at: 1_800_000_000 }], challenges: { http: 3, tls: 2 } },
    ticketKeyChanges: 4,
    requests: { http10: 1, http11: 20, http2: 30 },
    config: { revision: 12, drift: 2, pulls: { applied: 1 } },
    webhooks: [{ name: 'ci', delivered: 7, failed: 2, dead: 1, pending: 3, oldest: 90 }],
    rejected: REJECT_LIST.map((_, i) => i),
    upstreams: [
      {
        name: 'web',
        waiting: 8,
        notMirrored: [3, 2, 1],
        versions,
        swaps: { done: 4 },
        swapSeconds: { admitting: 1.25 },
        gates: [GATE],
        checks: CHECKS,
        members: null,
        ...web,
      },
    ],
    ...change,
  };
}

async function scrape(snapshot: MetricsSnapshot): Promise<Map<string, Family>> {
  return parse(await createMetrics({ snapshot: () => snapshot }).text());
}

/** Two threads that have served, failed and lost something on the two backends of v1. */
function busyLedger() {
  const ledger = new ControlLedger(2, 8);
  const slots = ledger.takeSlots(3) ?? [];
  const [one, two] = [0, 1].map((thread) => new ThreadLedger(ledger.buffer, thread));
  const serve = (thread: ThreadLedger, slot: number, status: number, ms: number): void => {
    thread.claim(slot, slots[2], 1000);
    thread.answered(slot, status, ms, 10, 100);
    thread.settle(slot, slots[2], OUTCOME.completed, KIND.http);
  };
  for (const ms of [0.1, 0.3, 1, 5, 5, 70]) serve(one, slots[0], 200, ms);
  serve(two, slots[1], 404, 2);
  serve(two, slots[1], 503, 60_000);
  one.claim(slots[1], slots[2], 1000);
  one.failed(slots[1], 0);
  one.resent(slots[1]);
  two.resent(slots[0]);
  one.settle(slots[1], slots[2], OUTCOME.upstreamFailed, KIND.http);
  two.claim(slots[0], slots[2], 1000);
  two.become(slots[0], KIND.tunnel);
  two.settle(slots[0], slots[2], OUTCOME.killed, KIND.tunnel);
  two.claim(slots[0], slots[2], 1000);
  return { ledger, backends: slots.slice(0, 2) };
}

t.test('every metric of the contract, with its type, help and labels', async (t) => {
  const { ledger, backends } = busyLedger();
  const jobs = { workers: { run: 2, quiesce: 1, stop: 0 }, traffic: null, backends: [] };
  const copies = { mirrored: ledger.traffic(backends) };
  const members = { refused: { full: 3, expired: 2, rate: 1 }, lost: 4 };
  const families = await scrape(snapshotOf([versionOf(ledger, 'v1', backends, copies), versionOf(ledger, 'v2', [], jobs)], {}, { members }));
  const expected: readonly (readonly [string, string, string])[] = [
    ['switchyard_requests_total', 'counter', 'code,upstream,version'],
    ['switchyard_request_duration_seconds', 'histogram', 'le,upstream,version'],
    ['switchyard_in_flight', 'gauge', 'backend,upstream,version'],
    ['switchyard_backend_healthy', 'gauge', 'backend,upstream,version'],
    ['switchyard_backend_requests_total', 'counter', 'backend,upstream,version'],
    ['switchyard_upstream_failures_total', 'counter', 'reason,upstream,version'],
    ['switchyard_steered_requests_total', 'counter', 'by,upstream,version'],
    ['switchyard_mirrored_requests_total', 'counter', 'code,upstream,version'],
    ['switchyard_mirrored_failures_total', 'counter', 'reason,upstream,version'],
    ['switchyard_mirrored_request_duration_seconds', 'histogram', 'le,upstream,version'],
    ['switchyard_not_mirrored_total', 'counter', 'reason,upstream'],
    ['switchyard_waiting_requests', 'gauge', 'upstream'],
    ['switchyard_retries_total', 'counter', ''],
    ['switchyard_resent_requests_total', 'counter', 'upstream,version'],
    ['switchyard_redirects_total', 'counter', ''],
    ['switchyard_killed_total', 'counter', 'kind,upstream,version'],
    ['switchyard_members', 'gauge', 'order,upstream,version'],
    ['switchyard_leases_in_hand', 'gauge', 'upstream,version'],
    ['switchyard_leases_total', 'counter', 'outcome,upstream,version'],
    ['switchyard_members_lost_total', 'counter', 'upstream'],
    ['switchyard_reports_refused_total', 'counter', 'reason,upstream'],
    ['switchyard_split_weight', 'gauge', 'upstream,version'],
    ['switchyard_version_phase', 'gauge', 'phase,upstream,version'],
    ['switchyard_swaps_total', 'counter', 'outcome,upstream'],
    ['switchyard_swap_phase_seconds', 'gauge', 'phase,upstream'],
    ['switchyard_client_connections', 'gauge', ''],
    ['switchyard_client_requests_total', 'counter', 'protocol'],
    ['switchyard_acme_challenges_total', 'counter', 'type'],
    ['switchyard_unread_body_bytes', 'gauge', ''],
    ['switchyard_unread_body_holds_total', 'counter', ''],
    ['switchyard_clients_counted', 'gauge', ''],
    ['switchyard_clients_uncounted_total', 'counter', ''],
    ['switchyard_rejected_requests_total', 'counter', 'reason'],
    ['switchyard_tls_handshakes_total', 'counter', 'reason,result'],
    ['switchyard_tls_protocol_total', 'counter', 'version'],
    ['switchyard_tls_handshakes_under_way', 'gauge', ''],
    ['switchyard_tls_ticket_key_changes_total', 'counter', ''],
    ['switchyard_certificate_expiry_seconds', 'gauge', 'listener,name'],
    ['switchyard_acme_renewals_total', 'counter', 'outcome'],
    ['switchyard_acme_next_renewal_seconds', 'gauge', 'name'],
    ['switchyard_gate_questions_total', 'counter', 'before,upstream'],
    ['switchyard_gate_answers_total', 'counter', 'answer,before,upstream'],
    ['switchyard_gate_timeouts_total', 'counter', 'before,upstream'],
    ['switchyard_gates_waiting', 'gauge', 'before,upstream'],
    ['switchyard_canary_checks_total', 'counter', 'result,upstream'],
    ['switchyard_gate_wait_seconds', 'histogram', 'before,le,upstream'],
    ['switchyard_config_revision', 'gauge', ''],
    ['switchyard_config_drift', 'gauge', ''],
    ['switchyard_config_pulls_total', 'counter', 'outcome'],
    ['switchyard_webhook_deliveries_total', 'counter', 'outcome,webhook'],
    ['switchyard_webhook_pending', 'gauge', 'webhook'],
    ['switchyard_webhook_oldest_pending_seconds', 'gauge', 'webhook'],
    ['switchyard_generation', 'gauge', ''],
    ['switchyard_thread_acked_generation', 'gauge', 'thread'],
  ];
  for (const [name, type, labels] of expected) {
    const family = families.get(name);
    t.equal(family?.type, type, name);
    t.ok((family?.help.length ?? 0) > 10, `${name} has a help text`);
    const [series] = family?.series.keys() ?? [];
    t.equal((series?.match(/[a-z]+(?==")/g) ?? []).join(','), labels, `${name} has its labels`);
  }
  t.equal(families.get('switchyard_members_lost_total')?.series.get('switchyard_members_lost_total{upstream="web"}'), 4);
  t.equal(families.get('switchyard_reports_refused_total')?.series.get('switchyard_reports_refused_total{reason="full",upstream="web"}'), 3);
  t.strictSame([...families.keys()].filter((name) => name.startsWith('switchyard_')).toSorted(), expected.map(([name]) => name).toSorted(), 'and no others');
  t.ok(families.has('process_cpu_seconds_total') && families.has('process_resident_memory_bytes'), 'process metrics');
});

t.test('the figures are those of the ledger', async (t) => {
  const { ledger, backends } = busyLedger();
  const families = await scrape(snapshotOf([versionOf(ledger, 'v1', backends)]));
  const value = (series: string): number | undefined => families.get(series.split('{')[0])?.series.get(series);
  const at = 'upstream="web",version="v1"';
  t.equal(value(`switchyard_requests_total{code="2xx",${at}}`), 6);
  t.equal(value(`switchyard_requests_total{code="4xx",${at}}`), 1);
  t.equal(value(`switchyard_requests_total{code="1xx",${at}}`), 0);
  t.equal(value(`switchyard_in_flight{backend="10.0.0.1:80",${at}}`), 1);
  t.equal(value(`switchyard_backend_healthy{backend="10.0.0.2:80",${at}}`), 0);
  t.equal(value(`switchyard_backend_requests_total{backend="10.0.0.1:80",${at}}`), 8);
  t.equal(value(`switchyard_upstream_failures_total{reason="${FAILURE_LIST[0].code}",${at}}`), 1);
  t.equal(value(`switchyard_killed_total{kind="tunnel",${at}}`), 1);
  t.equal(value(`switchyard_split_weight{${at}}`), 100);
  t.equal(value(`switchyard_version_phase{phase="live",${at}}`), 1);
  t.equal(value(`switchyard_version_phase{phase="draining",${at}}`), 0);
  t.equal(value('switchyard_swaps_total{outcome="done",upstream="web"}'), 4);
  t.equal(value('switchyard_swaps_total{outcome="rolled-back",upstream="web"}'), 0);
  t.equal(value('switchyard_swap_phase_seconds{phase="admitting",upstream="web"}'), 1.25);
  t.equal(value('switchyard_thread_acked_generation{thread="1"}'), 8);
  t.equal(value('switchyard_generation'), 9);
  t.equal(value('switchyard_client_connections'), 12);
  t.equal(value('switchyard_clients_counted'), 5);
  t.equal(value('switchyard_clients_uncounted_total'), 2);
  t.equal(value('switchyard_retries_total'), 3);
  t.equal(value('switchyard_unread_body_bytes'), 70_000);
  t.equal(value('switchyard_unread_body_holds_total'), 13);
  t.equal(value(`switchyard_resent_requests_total{${at}}`), 2);
  t.equal(value('switchyard_redirects_total'), 6);
});

t.test('gates and webhooks, as their counters say', async (t) => {
  const families = await scrape(snapshotOf([]));
  const value = (series: string): number | undefined => families.get(series.split('{')[0].replace(/_(?:bucket|sum|count)$/, ''))?.series.get(series);
  const at = 'before="step",upstream="web"';
  t.equal(value(`switchyard_gate_questions_total{${at}}`), 9);
  for (const [answer, count] of Object.entries(GATE.answers)) t.equal(value(`switchyard_gate_answers_total{answer="${answer}",${at}}`), count, answer);
  t.equal(value(`switchyard_gate_timeouts_total{${at}}`), 1);
  t.equal(value(`switchyard_gates_waiting{${at}}`), 1);
  for (const [result, count] of Object.entries(CHECKS)) t.equal(value(`switchyard_canary_checks_total{result="${result}",upstream="web"}`), count, result);
  for (const [le, count] of [
    ['0.1', 2],
    ['60', 2],
    ['300', 3],
    ['86400', 3],
    ['+Inf', 4],
  ] as const) {
    t.equal(value(`switchyard_gate_wait_seconds_bucket{before="step",le="${le}",upstream="web"}`), count, le);
  }
  t.equal(value(`switchyard_gate_wait_seconds_count{${at}}`), 4);
  t.equal(value(`switchyard_gate_wait_seconds_sum{${at}}`), 90_300);
  t.equal(value('switchyard_webhook_oldest_pending_seconds{webhook="ci"}'), 90);
});

t.test('copies of requests are in series of their own, which only a version has that has got some', async (t) => {
  const ledger = new ControlLedger(1, 4);
  const [backend, v1, v2] = ledger.takeSlots(3) ?? [];
  const thread = new ThreadLedger(ledger.buffer, 0);
  for (const status of [200, 200, 500]) {
    thread.claimCopy(backend, v1);
    thread.answered(v1, status, 5, 10, 100);
    thread.settleCopy(backend, v1, OUTCOME.completed);
  }
  thread.claimCopy(backend, v1);
  thread.failed(backend, 0, v1);
  thread.settleCopy(backend, v1, OUTCOME.upstreamFailed);
  const families = await scrape(snapshotOf([versionOf(ledger, 'v1', [backend], { mirrored: ledger.traffic([v1]) }), versionOf(ledger, 'v2', [v2])]));
  const at = 'upstream="web",version="v1"';
  const value = (name: string, labels: string): number | undefined => families.get(name.replace(/_count$/, ''))?.series.get(`${name}{${labels}${at}}`);
  t.equal(value('switchyard_mirrored_requests_total', 'code="2xx",'), 2);
  t.equal(value('switchyard_mirrored_requests_total', 'code="5xx",'), 1);
  t.equal(value('switchyard_mirrored_failures_total', `reason="${FAILURE_LIST[0].code}",`), 1);
  t.equal(value('switchyard_mirrored_request_duration_seconds_count', ''), 3);
  t.equal(value('switchyard_steered_requests_total', 'by="mirror",'), 4);
  t.equal(value('switchyard_requests_total', 'code="2xx",'), 0);
  t.equal(value('switchyard_request_duration_seconds_count', ''), 0);
  t.equal(value('switchyard_upstream_failures_total', `reason="${FAILURE_LIST[0].code}",`), 0);
  const [, fails] = [ledger.failuresInRow(v1), ledger.failuresInRow(backend)];
  t.equal(fails, 1, 'but a backend that fails them fails');
  t.notMatch([...families.get('switchyard_mirrored_requests_total')!.series.keys()].join('\n'), 'v2');
});

t.test('every refusal is counted, each reason in one series', async (t) => {
  const families = await scrape(snapshotOf([]));
  const series = families.get('switchyard_rejected_requests_total')?.series ?? new Map<string, number>();
  t.equal(series.size, new Set(REJECT_LIST.map(({ code }) => code)).size);
  t.equal(
    [...series.values()].reduce((sum, each) => sum + each, 0),
    REJECT_LIST.reduce((sum, _, i) => sum + i, 0),
    'none is lost',
  );
});

t.test('the histogram is cumulative and adds up', async (t) => {
  const { ledger, backends } = busyLedger();
  const families = await scrape(snapshotOf([versionOf(ledger, 'v1', backends)]));
  const series = families.get('switchyard_request_duration_seconds')?.series ?? new Map<string, number>();
  const buckets = [...series]
    .filter(([key]) => key.includes('_bucket'))
    .map(([key, count]) => ({ le: Number(/le="\+?([^"]+)"/.exec(key)?.[1].replace('Inf', 'Infinity')), count }));
  t.ok(buckets.length >= 10 && buckets.length <= 20, 'a sensible number of buckets');
  t.ok(
    buckets.every(({ le }, i) => i === 0 || le > buckets[i - 1].le),
    'bounds rise',
  );
  t.ok(
    buckets.every(({ le }) => le === Infinity || BIN_BOUNDS.includes(le)),
    "bounds are the ledger's",
  );
  const seconds = [0.0001, 0.0003, 0.001, 0.005, 0.005, 0.07, 0.002, 60];
  for (const { le, count } of buckets) t.equal(count, seconds.filter((each) => each < le).length, `le ${le}`);
  const at = 'upstream="web",version="v1"';
  t.equal(series.get(`switchyard_request_duration_seconds_count{${at}}`), 8);
  t.ok(Math.abs((series.get(`switchyard_request_duration_seconds_sum{${at}}`) ?? 0) - 60.0834) < 1e-6);
});

t.test('the series of a released version disappear, and those of the others never go back', async (t) => {
  const { ledger, backends } = busyLedger();
  let snapshot = snapshotOf([versionOf(ledger, 'v1', backends), versionOf(ledger, 'v2', [4])]);
  const metrics = createMetrics({ snapshot: () => snapshot });
  const before = parse(await metrics.text());
  new ThreadLedger(ledger.buffer, 0).answered(4, 200, 1, 1, 1);
  ledger.closeThread(1);
  snapshot = snapshotOf([versionOf(ledger, 'v2', [4])]);
  const after = parse(await metrics.text());
  t.notMatch([...after.values()].map(({ series }) => Array.from(series.keys()).join('\n')).join('\n'), 'version="v1"');
  for (const [name, { type, series }] of after) {
    if (type === 'gauge' || !name.startsWith('switchyard_')) continue;
    for (const [key, value] of series) t.ok(value >= (before.get(name)?.series.get(key) ?? 0), key);
  }
  t.equal(after.get('switchyard_requests_total')?.series.get('switchyard_requests_total{code="2xx",upstream="web",version="v2"}'), 1);
});

t.test('names that need escaping cannot break the text', async (t) => {
  const { ledger } = busyLedger();
  const families = await scrape(snapshotOf([versionOf(ledger, 'v"1\\\n', [0])]));
  t.ok(families.get('switchyard_split_weight')?.series.has('switchyard_split_weight{upstream="web",version="v\\"1\\\\\\n"}'));
});

t.test('scrapes at the same time share one snapshot; the next one is new', async (t) => {
  let taken = 0;
  const metrics = createMetrics({ snapshot: () => snapshotOf([], { generation: ++taken }) });
  const [first, second] = await Promise.all([metrics.text(), metrics.text()]);
  t.equal(first, second);
  t.equal(taken, 1);
  t.match(await metrics.text(), /^switchyard_generation 2$/m);
  t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
});

t.test('a scrape that fails does not spoil the next', async (t) => {
  let fail = true;
  const metrics = createMetrics({
    snapshot() {
      if (fail) throw new Error('not now');
      return snapshotOf([]);
    },
  });
  await t.rejects(metrics.text(), { message: 'not now' });
  fail = false;
  t.match(await metrics.text(), 'switchyard_generation 9');
});

t.test('a thousand backends are written in one go', async (t) => {
  const ledger = new ControlLedger(2, 1000);
  const slots = ledger.takeSlots(1000) ?? [];
  const families = await scrape(
    snapshotOf([versionOf(ledger, 'v1', slots, { backends: slots.map((slot) => ({ address: `a:${slot + 1}`, healthy: true, inFlight: 0, requests: 0 })) })]),
  );
  t.equal(families.get('switchyard_in_flight')?.series.size, 1000);
});
