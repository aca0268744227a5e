import type { Registry } from 'prom-client';
import { GATE_WAIT_BOUNDS } from '../pool/gates.ts';
import { ReadHistogram } from './_histogram.ts';
import type { Described, Point } from './_points.ts';
import type { GateMetrics, MetricsSnapshot } from './source.ts';

function* eachPoint({ upstreams }: MetricsSnapshot): Generator<{ at: readonly [upstream: string, before: string]; gates: GateMetrics }> {
  for (const { name, gates } of upstreams) for (const each of gates) yield { at: [name, each.before], gates: each };
}

function perPoint(value: (gates: GateMetrics) => number): Described['read'] {
  return (now) => Array.from(eachPoint(now), ({ at, gates }): Point => [at, value(gates)]);
}

/** Of gates, by the point at which they stand, since their names are as many as somebody configures; and of what else is asked before a canary goes on. */
export const GATES: readonly Described[] = [
  {
    type: 'counter',
    name: 'switchyard_gate_questions_total',
    help: 'Questions to gates, by what they stand before: the `admission`, a `step` or the `release`.',
    labels: ['upstream', 'before'],
    read: perPoint(({ asked }) => asked),
  },
  {
    type: 'counter',
    name: 'switchyard_gate_answers_total',
    help: 'What came of questions to gates: `pass`, `wait`, `stop`, or `failed` (no answer, or none that is a decision).',
    labels: ['upstream', 'before', 'answer'],
    read: (now) => [...eachPoint(now)].flatMap(({ at, gates }) => Object.entries(gates.answers).map(([answer, count]): Point => [[...at, answer], count])),
  },
  {
    type: 'counter',
    name: 'switchyard_gate_timeouts_total',
    help: 'Waits for a gate that were ended by its timeout.',
    labels: ['upstream', 'before'],
    read: perPoint(({ timeouts }) => timeouts),
  },
  {
    type: 'gauge',
    name: 'switchyard_gates_waiting',
    help: 'Gates that a swap, or the release of a version, waits for now.',
    labels: ['upstream', 'before'],
    read: perPoint(({ waiting }) => waiting),
  },
  {
    type: 'counter',
    name: 'switchyard_canary_checks_total',
    help: 'Queries of canaries to a Prometheus server: `pass` or `fail` by the bounds, `no-data`, `error` (no answer, or none that is one) or `timeout`.',
    labels: ['upstream', 'result'],
    read: ({ upstreams }) => upstreams.flatMap(({ name, checks }) => Object.entries(checks ?? {}).map(([result, count]): Point => [[name, result], count])),
  },
];

/** How long gates are waited for. */
export function gateWaits(registry: Registry, now: () => MetricsSnapshot): void {
  new ReadHistogram(
    {
      name: 'switchyard_gate_wait_seconds',
      help: 'From the first question to a gate to its pass or stop, or to its timeout.',
      labelNames: ['upstream', 'before'],
      buckets: [...GATE_WAIT_BOUNDS],
      registers: [registry],
    },
    () => Array.from(eachPoint(now()), ({ at: [upstream, before], gates: { bins, seconds } }) => ({ labels: { upstream, before }, bins, sum: seconds })),
  );
}
