import { randomUUID } from 'node:crypto';
import type { UpstreamConfig } from '../config/config.ts';
import { parseUpstream } from '../config/parse.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { ControlLedger } from '../ledger/control.ts';
import { isAdmitted } from '../pool/phase.ts';
import type { PastVersion, Receipt, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { SwapRequest } from '../swap/ports.ts';
import { refuseStale } from '../swap/stale.ts';
import { backendsOf } from '../members/declare.ts';
import type { OrderView, Report } from '../members/report.ts';
import type { Launches } from '../launch/launches.ts';
import type { Deploys } from './deploys.ts';
import { declaredDeploy, launchAndSwap, seeded } from './_declared-launch.ts';
import { Desk } from './_desk.ts';
import type { DeskParts } from './_desk.ts';
import type { EventLog } from './events.ts';
import type { Fleet } from './fleet.ts';
import { launchFacts, launchView, processView, startFacts } from './launch-views.ts';
import { outputSince, outputView } from './_output-views.ts';
import type {
  Caller,
  DeployRequest,
  DeployView,
  Explanation,
  Goal,
  LoggedEvent,
  MemberView,
  Operations,
  OutputAsk,
  OutputView,
  Plan,
  SwapAsk,
  SwapView,
  UpstreamKind,
  UpstreamView,
  VersionAsk,
  VersionView,
} from './operations.ts';
import { tlsFacts } from './tls-facts.ts';
import type { Vitals } from './vitals.ts';
import type { Workers } from './crews.ts';
import { memberFacts, memberViews, workersObserved } from './member-views.ts';
import { kindOf, noSwapNeeded, pastView, swapView, upstreamView, versionView } from './views.ts';
import type { Observed } from './views.ts';

export interface OperatorParts extends DeskParts {
  readonly fleet: Fleet;
  readonly ledger: ControlLedger;
  readonly vitals: Vitals;
  readonly events: EventLog;
  /** Tells what is allowed but should be known. */
  readonly warn: (upstream: UpstreamConfig) => void;
  readonly launches: Launches;
  readonly deploys: Deploys;
  readonly ready: () => { ready: boolean; why: string };
}

/** The operators' side of the control plane: every method is one thing that a person or a deploy tool may ask. */
export class Operator extends Desk implements Operations {
  protected override readonly parts: OperatorParts;

  constructor(parts: OperatorParts) {
    super(parts);
    this.parts = parts;
  }

  upstreams(): UpstreamView[] {
    return [...this.parts.fleet.served.keys()].map((name) => this.upstream(name));
  }

  upstream(name: string): UpstreamView {
    return { ...upstreamView(this.state(name), this.observed(name)), deploy: this.parts.deploys.going(name) };
  }

  async putUpstream(name: string, spec: unknown, caller: Caller): Promise<{ created: boolean; view: UpstreamView }> {
    const { fleet, structure, warn } = this.parts;
    const config = parseUpstream(name, spec);
    const created = !fleet.served.has(name);
    if (created && caller.ifMatch !== undefined) throw new Refusal(REFUSAL.stale, `There is no upstream ${name} yet, so it has no revision ${caller.ifMatch}.`);
    if (!created) refuseStale(this.state(name), caller.ifMatch);
    warn(config);
    await structure.putUpstream(config, caller);
    return { created, view: this.upstream(name) };
  }

  async deleteUpstream(name: string, caller: Caller): Promise<void> {
    refuseStale(this.state(name), caller.ifMatch);
    await this.parts.structure.removeUpstream(name, caller);
  }

  versions(name: string): VersionView[] {
    const state = this.state(name);
    return [
      ...state.history.map((past) => pastView(past, this.kind(name))),
      ...state.versions.map((version) => versionView(state, version, this.observed(name))),
    ];
  }

  version(name: string, id: string): VersionView {
    const { version, past } = this.find(name, id);
    return version === null ? pastView(past!, this.kind(name)) : versionView(this.state(name), version, this.observed(name));
  }

  async register(name: string, { id, ...ask }: VersionAsk, caller: Caller): Promise<{ created: boolean; view: VersionView }> {
    const { driver, config } = this.parts.fleet.get(name);
    // Others may be registered beside a deploy, as beside a swap.
    if (this.parts.deploys.going(name)?.version === id) this.parts.deploys.refuseStarting(name);
    const { created } = await driver.register({ id, backends: backendsOf(config.policy, id, ask) ?? [] }, caller);
    return { created, view: this.version(name, id) };
  }

  async removeVersion(name: string, id: string, caller: Caller): Promise<VersionView> {
    this.parts.deploys.refuseStarting(name);
    await this.parts.fleet.get(name).driver.remove(id, caller);
    this.note('drain', name, caller, `version ${id} let go`, { version: id });
    return this.version(name, id);
  }

  async swap(name: string, request: SwapAsk, caller: Caller): Promise<{ started: boolean; view: SwapView }> {
    await seeded(this.parts.fleet, name, request);
    const declared = declaredDeploy(this.parts.fleet, name, request);
    if (declared !== null) return { started: true, view: this.swapById(await launchAndSwap(this.parts.deploys, name, declared, caller)) };
    this.parts.deploys.refuseStarting(name);
    const { started, swap } = await this.parts.fleet.get(name).driver.swap(this.request(name, request), randomUUID(), caller);
    return { started, view: swap === null ? noSwapNeeded(name, this.kind(name), request.to) : swapView(this.state(name), swap, this.observed(name)) };
  }

  planSwap(name: string, request: SwapAsk): Plan {
    this.parts.deploys.refuseStarting(name);
    const declared = declaredDeploy(this.parts.fleet, name, request);
    if (declared !== null) return this.parts.deploys.plan(name, declared);
    return { dryRun: true, upstream: name, ...this.parts.fleet.get(name).driver.plan(this.request(name, request)) };
  }

  /** What the swap machine is asked: members are its backends. */
  private request(name: string, { members, backends, ...request }: SwapAsk): SwapRequest {
    const declared = backendsOf(this.parts.fleet.get(name).config.policy, request.to, { members, backends });
    // What members have in hand has one deadline.
    const drain = this.kind(name) === 'worker' && request.drain !== undefined ? { drain: { ...request.drain, tunnels: request.drain.requests } } : {};
    return { ...request, ...drain, ...(declared === undefined ? {} : { backends: declared }) };
  }

  private kind(name: string): UpstreamKind {
    return kindOf(this.parts.fleet.get(name).config.policy);
  }

  members(name: string): MemberView[] {
    return memberViews(this.workers(name).crew.register);
  }

  report(name: string, member: string, report: Report, waitMs: number, signal: AbortSignal): Promise<OrderView> {
    const { crew, polls } = this.workers(name);
    if (polls) throw new Refusal(REFUSAL.notWorkers, `The members of ${name} are polled; they do not report by themselves.`);
    return crew.report(member, report, waitMs, signal);
  }

  leave(name: string, member: string, instance: string | null): void {
    this.workers(name).crew.goodbye(member, instance);
  }

  private workers(name: string): Workers {
    const { workers } = this.parts.fleet.get(name);
    if (workers === null) throw new Refusal(REFUSAL.notWorkers, `${name} serves requests; it has no members.`);
    return workers;
  }

  deploy(name: string, request: DeployRequest, caller: Caller): Promise<{ started: boolean; view: DeployView }> {
    return this.parts.deploys.start(name, request, caller);
  }

  planDeploy(name: string, request: DeployRequest): Plan {
    return this.parts.deploys.plan(name, request);
  }

  deployById(id: string, waitMs: number): Promise<DeployView> {
    return this.parts.deploys.settled(id, waitMs);
  }

  async output(name: string, id: string, ask: OutputAsk, signal: AbortSignal): Promise<OutputView> {
    const { launches } = this.parts;
    if (launches.replicasWithOutput(name, id).length === 0) this.find(name, id);
    return ask.after === null ? outputView(launches, name, id, ask) : outputSince(launches, name, id, ask, signal);
  }

  async rollback(name: string, to: string | null, caller: Caller): Promise<SwapView> {
    this.parts.deploys.refuseStarting(name);
    const swap = await this.parts.fleet.get(name).driver.rollback(to, randomUUID(), caller);
    return swapView(this.state(name), swap, this.observed(name));
  }

  async steer(name: string, verb: 'promote' | 'pause' | 'resume' | 'abort', caller: Caller): Promise<SwapView> {
    const { driver } = this.parts.fleet.get(name);
    const deploy = verb === 'abort' ? await this.parts.deploys.abort(name, caller) : null;
    if (deploy !== null) {
      const { id, version, requestedBy, reason } = deploy;
      return { ...noSwapNeeded(name, this.kind(name), version), id, state: 'aborted', weight: 0, requestedBy, reason };
    }
    const swap = await driver.steer(verb, caller);
    return swapView(this.state(name), swap, this.observed(name));
  }

  lastSwap(name: string): SwapView {
    const state = this.state(name);
    if (state.swap === null) throw new Refusal(REFUSAL.noSwap, `Upstream ${name} has had no swap yet.`);
    return swapView(state, state.swap, this.observed(name));
  }

  swapById(id: string): SwapView {
    const found = this.parts.fleet.swaps.get(id);
    if (found === undefined || !this.parts.fleet.served.has(found.upstream))
      throw new Refusal(REFUSAL.noSwap, `There is no swap ${id}, or it was too long ago.`);
    return swapView(this.state(found.upstream), found.swap, this.observed(found.upstream));
  }

  async setSplit(name: string, weights: Record<string, number>, caller: Caller): Promise<UpstreamView> {
    this.parts.deploys.refuseStarting(name);
    await this.parts.fleet.get(name).driver.setSplit(weights, caller);
    const shares = Object.entries(weights).map(([version, weight]) => `${version} ${weight} %`);
    this.note('split', name, caller, `split by hand: ${shares.join(', ')}`, { weights });
    return this.upstream(name);
  }

  async hold(name: string, held: boolean, caller: Caller): Promise<UpstreamView> {
    await this.parts.fleet.get(name).driver.hold(held, caller);
    this.note('hold', name, caller, held ? 'held' : 'let go on', { held });
    return this.upstream(name);
  }

  async drainBackend(name: string, address: string, { by, ifMatch }: Caller): Promise<UpstreamView> {
    refuseStale(this.state(name), ifMatch);
    if (this.kind(name) === 'worker') throw new Refusal(REFUSAL.notWorkers, `${name} is of workers: let one of them go by itself, or end it.`);
    const result = this.parts.vitals.stop(name, address);
    if (result === 'none') throw new Refusal(REFUSAL.notFound, `No version of ${name} has a backend ${address}.`);
    if (result === 'last') throw new Refusal(REFUSAL.notNow, `${address} is the last available backend of its version; swap to another version instead.`);
    this.note('drain', name, { by }, `backend ${address} taken out`, { backend: address });
    this.parts.events.emit({ type: 'health', upstream: name, version: null, data: { by, backend: address, health: 'stopped by an operator' } });
    return this.upstream(name);
  }

  receipt(name: string, id: string): Receipt {
    const { past, version } = this.find(name, id);
    if (past?.receipt != null && version === null) return past.receipt;
    const why = version === null ? 'was rejected before it had any traffic' : `is ${version.phase}`;
    throw new Refusal(REFUSAL.noReceipt, `${id} has no receipt: it ${why}.`);
  }

  /** Of the configuration: it is of all upstreams. */
  private drifted(): string[] {
    const { drift, source } = this.parts.structure.view();
    if (drift.length === 0) return [];
    const [{ path, changed }] = drift;
    const more = drift.length === 1 ? '' : ` (and ${drift.length - 1} more)`;
    return [`the configuration is not what the ${source.kind} ${source.name} says: ${path}${more}${changed === null ? '' : `, changed by ${changed.by}`}`];
  }

  explain(name: string, id: string | null): Explanation {
    const found = this.parts.fleet.get(name).driver.explain(id);
    if (found === null) throw this.unknown(name, id ?? '');
    const { certificates, ledger } = this.parts;
    const about = certificates.facts();
    // No certificates, no listener with TLS.
    const facts = [...this.drifted(), ...(about.length === 0 ? [] : [...about, ...tlsFacts(ledger)])].map((fact) => ({ fact, blocks: 'nothing' as const }));
    const { workers } = this.parts.fleet.get(name);
    const members = workers === null ? [] : memberFacts(workers.crew.register, this.state(name), id);
    const versions = id === null ? this.state(name).versions.map((version) => version.id) : [id];
    return {
      ...found,
      facts: [...found.facts, ...members, ...startFacts(this.parts.deploys.going(name), id), ...launchFacts(this.parts.launches, name, versions), ...facts],
    };
  }

  waitFor(name: string, id: string, goal: Goal, timeoutMs: number, signal: AbortSignal): Promise<{ reached: boolean; view: VersionView }> {
    const { driver, gone } = this.parts.fleet.get(name);
    this.find(name, id);
    return new Promise((resolve, reject) => {
      let settled = false;
      let off = (): void => undefined;
      const finish = (reached: boolean): void => {
        if (settled) return;
        settled = true;
        off();
        gone.signal.removeEventListener('abort', giveUp);
        clearTimeout(timer);
        try {
          resolve({ reached, view: this.version(name, id) });
        } catch (error) {
          // The upstream was removed meanwhile.
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const look = (): void => {
        const standing = this.standing(name, id, goal);
        if (standing !== 'waiting') finish(standing === 'reached');
      };
      const giveUp = (): void => finish(false);
      const timer = setTimeout(giveUp, timeoutMs);
      off = driver.changed(look);
      signal.addEventListener('abort', giveUp, { once: true });
      gone.signal.addEventListener('abort', giveUp);
      look();
    });
  }

  private standing(name: string, id: string, goal: Goal): 'reached' | 'never' | 'waiting' {
    const state = this.state(name);
    const version = state.versions.find((candidate) => candidate.id === id);
    if (version === undefined)
      return this.find(name, id).past?.version.phase === goal || (goal === 'drained' && this.find(name, id).past?.receipt != null) ? 'reached' : 'never';
    const { swap } = state;
    const moving = swap !== null && swap.to === id && swap.state === 'cutting-over';
    if (goal === 'admitted') return isAdmitted(version.phase) ? 'reached' : 'waiting';
    // Live means all of it: the first step of a canary is not yet what a deployer waits for.
    if (goal === 'live') return version.phase === 'live' && !moving ? 'reached' : 'waiting';
    return version.phase === goal ? 'reached' : 'waiting';
  }

  eventsAfter(id: string | null): { events: LoggedEvent[]; complete: boolean } {
    return this.parts.events.after(id);
  }

  onEvent(listener: (event: LoggedEvent) => void): () => void {
    return this.parts.events.on(listener);
  }

  ready(): { ready: boolean; why: string } {
    return this.parts.ready();
  }

  private state(name: string): UpstreamState {
    return this.parts.fleet.get(name).driver.state;
  }

  private find(name: string, id: string): { version: Version | null; past: PastVersion | null } {
    const state = this.state(name);
    const version = state.versions.find((candidate) => candidate.id === id) ?? null;
    const past = state.history.findLast((entry) => entry.version.id === id) ?? null;
    if (version === null && past === null) throw this.unknown(name, id);
    return { version, past };
  }

  private unknown(name: string, id: string): Refusal {
    const ids = this.state(name).versions.map((version) => version.id);
    return new Refusal(REFUSAL.noVersion, `Upstream ${name} has no version ${id}; it has ${ids.join(', ') || 'none'}.`);
  }

  private observed(name: string): Observed {
    const { fleet, ledger, vitals, launches } = this.parts;
    const { workers, config } = fleet.get(name);
    const launched = (version: string): Pick<VersionView, 'launch' | 'processes'> => {
      const launch = launches.get(name, version);
      return { launch: launch === null ? null : launchView(launch.spec), processes: launches.processes(name, version).map(processView) };
    };
    const stopping = (): string[] => launches.stopping(name);
    if (workers !== null)
      return { ...workersObserved(workers.crew.register), launched, stopping, policy: config.policy, verdict: () => fleet.get(name).driver.verdict() };
    return {
      counts: (version) => fleet.counts(name, version),
      backendCounts: (_, { slot }) => fleet.backendCounts(slot),
      available: (_, { slot }) => ledger.available(slot),
      members: () => [],
      health: (version) => vitals.health(name, version),
      isEjected: (version, address) => vitals.isEjected(name, version.id, address),
      isStopped: (version, address) => vitals.isStopped(name, version.id, address),
      waiting: () => ledger.waiting(fleet.get(name).slot),
      launched,
      stopping,
      policy: config.policy,
      verdict: () => fleet.get(name).driver.verdict(),
    };
  }
}
