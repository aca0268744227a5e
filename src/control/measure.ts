import type { ClientTableControl } from '../ledger/clients-control.ts';
import type { ControlLedger, Traffic } from '../ledger/control.ts';
import { EDGE, STEERED } from '../ledger/layout.ts';
import type { Register } from '../members/register.ts';
import { weightOf } from '../pool/split.ts';
import { isFinished } from '../pool/upstream.ts';
import type { Swap } from '../pool/upstream.ts';
import type { AcmeKeeper } from '../acme/keeper.ts';
import type { Certificates } from './certificates.ts';
import type { Fleet, Served } from './fleet.ts';
import type { DataThreads } from './threads.ts';
import type { Structure } from './structure.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import type { Vitals } from './vitals.ts';

/** A snapshot of all figures, as plain data; metrics/ puts it into words. */
export function measure(
  fleet: Fleet,
  ledger: ControlLedger,
  clients: ClientTableControl,
  threads: DataThreads,
  vitals: Vitals,
  { certificates, acme, webhooks, structure }: { certificates: Certificates; acme: AcmeKeeper; webhooks: Webhooks; structure: Structure },
) {
  return {
    generation: ledger.generation(),
    acked: threads.acks(),
    clientConnections: ledger.edge(EDGE.connections),
    clientsCounted: clients.inUse(Number(process.hrtime.bigint())),
    unread: { bytes: ledger.edge(EDGE.unread), holds: ledger.edge(EDGE.heldBack) },
    clientsUncounted: ledger.edge(EDGE.uncounted),
    retries: ledger.edge(EDGE.retries),
    redirects: ledger.edge(EDGE.redirects),
    requests: ledger.requests(),
    rejected: ledger.rejected(),
    handshakes: ledger.handshakes(),
    ticketKeyChanges: certificates.tickets.changes,
    certificates: certificates.expiries(),
    webhooks: webhooks.metrics(),
    config: structure.metrics(),
    acme: {
      ...acme.renewals,
      next: acme.status().map(({ domains, nextAt }) => ({ name: domains[0], at: nextAt / 1000 })),
      challenges: ledger.challenges(),
    },
    upstreams: [...fleet.served].map(([name, served]) =>
      served.workers === null ? measureUpstream(name, served, fleet, ledger, vitals) : measureWorkers(name, served, served.workers.crew.register, fleet),
    ),
  };
}

function measureUpstream(name: string, served: Served, fleet: Fleet, ledger: ControlLedger, vitals: Vitals) {
  const { driver, slot } = served;
  const { state } = driver;
  return {
    name,
    waiting: ledger.waiting(slot),
    notMirrored: ledger.notMirrored(slot),
    versions: state.versions.map((version) => {
      const health = vitals.health(name, version);
      return {
        id: version.id,
        phase: version.phase,
        weight: weightOf(state.split, version.id),
        counts: fleet.counts(name, version),
        workers: null,
        traffic: ledger.traffic(version.backends.map(({ slot }) => slot)),
        mirrored: mirroredOf(ledger, version.slot),
        backends: version.backends.map(({ address, slot }) => {
          const { inFlight } = fleet.backendCounts(slot);
          return { address, healthy: health.get(address)?.health === 'healthy', inFlight, requests: ledger.claims(slot) };
        }),
      };
    }),
    ...swapsOf(name, served, fleet),
    members: null,
  };
}

function mirroredOf(ledger: ControlLedger, versionSlot: number): Traffic | null {
  const traffic = ledger.traffic([versionSlot]);
  return traffic.steered[STEERED.mirror] === 0 ? null : traffic;
}

function measureWorkers(name: string, served: Served, register: Register, fleet: Fleet) {
  const { state } = served.driver;
  return {
    name,
    waiting: 0,
    notMirrored: [],
    versions: state.versions.map((version) => {
      const workers = { run: 0, quiesce: 0, stop: 0 };
      for (const entry of register.of(version.slot)) workers[register.orderOf(entry)]++;
      return {
        id: version.id,
        phase: version.phase,
        weight: weightOf(state.split, version.id),
        counts: register.counts(version),
        workers,
        traffic: null,
        mirrored: null,
        backends: [],
      };
    }),
    ...swapsOf(name, served, fleet),
    members: { refused: { ...register.happened.refused }, lost: register.happened.lost },
  };
}

function swapsOf(name: string, { driver: { state }, gates, checks, config }: Served, fleet: Fleet) {
  return {
    swaps: { ...fleet.outcomes.get(name) },
    swapSeconds: state.swap === null ? {} : swapSeconds(state.swap, Date.now()),
    gates: gates.measure(config.policy.gates, state),
    checks: checks.measure(config.policy.canary.analysis?.prometheus != null),
  };
}

const STATE_OF_STEP: Readonly<Record<string, string>> = {
  requested: 'admitting',
  admitted: 'cutting-over',
  live: 'draining',
  draining: 'draining',
  drained: 'drained',
  released: 'released',
};

/** Seconds from each step of a swap to the next, by the state that the step began; the running state counts up to now. */
function swapSeconds(swap: Swap, now: number): Record<string, number> {
  const seconds: Record<string, number> = {};
  const running = !isFinished(swap);
  for (const [i, step] of swap.steps.entries()) {
    const next = swap.steps.at(i + 1)?.at ?? (running ? now : step.at);
    const state = STATE_OF_STEP[step.name] ?? 'cutting-over';
    if (next > step.at) seconds[state] = (seconds[state] ?? 0) + (next - step.at) / 1000;
  }
  return seconds;
}
