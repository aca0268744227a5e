import type {
  Caller,
  CertificateView,
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
  ReloadView,
  SwapAsk,
  SwapView,
  UpstreamView,
  VersionView,
} from '../../src/control/operations.ts';
import { Refusal, REFUSAL } from '../../src/errors/catalogue.ts';
import { FakeDesk } from './fake-desk.ts';
import { isFinal } from '../../src/pool/phase.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import type { OrderView, Report } from '../../src/members/report.ts';
import type { EventType } from '../../src/swap/ports.ts';

export const AT = '2026-01-02T03:04:05.000Z';

export function versionView(id: string, more: Partial<VersionView> = {}): VersionView {
  const probe = { at: AT, ok: true, status: 200, ms: 2, error: null };
  const backends = ['127.0.0.1:9001', '127.0.0.1:9002'].map((address) => ({
    address,
    weight: 1,
    health: 'healthy' as const,
    available: true,
    ejected: false,
    stopped: false,
    inFlight: 1,
    openSockets: 1,
    requests: 600,
    lastProbe: probe,
    probes: [probe],
  }));
  return {
    id,
    phase: 'live',
    weight: 100,
    inFlight: 2,
    streams: 0,
    tunnels: 0,
    createdAt: AT,
    openUntil: null,
    keepUntil: null,
    kind: 'web',
    backends,
    members: [],
    counts: { started: 1204, completed: 1200, clientAborted: 1, upstreamFailed: 1, killed: 0 },
    reason: null,
    launch: null,
    processes: [],
    ...more,
  };
}

export function receiptOf(version: string, killed = 0): Receipt {
  return {
    upstream: 'web',
    kind: 'web',
    version,
    releasedAt: AT,
    generation: 9,
    admitted: { healthy: 2, of: 2 },
    firstRequestAt: AT,
    lastRequestAt: AT,
    counts: { started: 1204, completed: 1203 - killed, clientAborted: 1, upstreamFailed: 0, killed },
    killedByKind: { http: killed, stream: 0, tunnel: 0 },
    mirrored: 0,
    peakInFlight: 7,
    drainMs: 200,
    acks: { 0: 9, 1: 9 },
    countedSince: AT,
  };
}

type Step = SwapView['steps'][number];

/** One upstream `web` with v1 live. What a swap does is scripted by the test. */
export class FakeOperations extends FakeDesk implements Operations {
  web: UpstreamView = {
    name: 'web',
    kind: 'web',
    protocol: 'http1',
    tls: null,
    revision: 7,
    split: { v1: 100 },
    held: false,
    waiting: 0,
    maintenance: false,
    versions: [versionView('v1')],
    swap: null,
    deploy: null,
  };
  shown: CertificateView[] = [];
  isReady = true;
  /** Runs when a swap or rollback has started. */
  script: (operations: FakeOperations) => void = () => {};
  receipts = new Map<string, Receipt>();
  /** Awaited by swap(), so that a test can hold one back. */
  gate: Promise<void> = Promise.resolve();
  forgotten = false;
  private readonly log: LoggedEvent[] = [];
  private readonly listeners = new Set<(event: LoggedEvent) => void>();
  private count = 0;

  get listening(): number {
    return this.listeners.size;
  }

  emit(type: EventType, upstream: string | null = 'web', data: Record<string, unknown> = {}): LoggedEvent {
    const event = { id: `run-${++this.count}`, at: AT, type, upstream, version: null, data };
    this.log.push(event);
    for (const listener of this.listeners) listener(event);
    return event;
  }

  /** Changes the running swap and tells the listeners. */
  step(name: string, change: Partial<SwapView> = {}, evidence: Step['evidence'] = {}): void {
    if (this.web.swap === null) throw new Error('no swap');
    this.web.swap = { ...this.web.swap, ...change, steps: [...this.web.swap.steps, { name, at: AT, evidence }] };
    this.emit('step', 'web', { step: name });
  }

  upstreams = (): UpstreamView[] => [this.web];

  upstream(name: string): UpstreamView {
    if (name !== 'web') throw new Refusal(REFUSAL.noUpstream, `There is no upstream ${name}.`);
    return this.web;
  }

  private change(name: string, caller: Caller, operation: string, ...args: unknown[]): void {
    this.upstream(name);
    if (caller.ifMatch !== undefined && caller.ifMatch !== this.web.revision) {
      throw new Refusal(REFUSAL.stale, `web is at revision ${this.web.revision}.`, { revision: this.web.revision, changedBy: 'alice' });
    }
    this.calls.push({ name: operation, args: [...args, caller.by] });
  }

  async putUpstream(name: string, spec: unknown, caller: Caller): Promise<{ created: boolean; view: UpstreamView }> {
    if (name === 'web') this.change(name, caller, 'putUpstream', spec);
    else this.calls.push({ name: 'putUpstream', args: [spec, caller.by] });
    return { created: name !== 'web', view: { ...this.web, name, revision: name === 'web' ? ++this.web.revision : 1 } };
  }

  async deleteUpstream(name: string, caller: Caller): Promise<void> {
    this.change(name, caller, 'deleteUpstream');
  }

  versions(name: string): VersionView[] {
    return this.upstream(name).versions;
  }

  version(name: string, id: string): VersionView {
    const found = this.versions(name).find((version) => version.id === id);
    if (found === undefined) throw new Refusal(REFUSAL.noVersion, `web has no version ${id}.`);
    return found;
  }

  async register(name: string, input: { id: string }, caller: Caller): Promise<{ created: boolean; view: VersionView }> {
    this.change(name, caller, 'register', input);
    if (input.id === 'taken') throw new Refusal(REFUSAL.versionExists);
    return { created: input.id !== 'v1', view: versionView(input.id, { phase: 'admitting', weight: 0 }) };
  }

  async removeVersion(name: string, id: string, caller: Caller): Promise<VersionView> {
    this.change(name, caller, 'removeVersion', id);
    return { ...this.version(name, id), phase: 'draining' };
  }

  async swap(name: string, request: SwapAsk, caller: Caller): Promise<{ started: boolean; view: SwapView }> {
    this.change(name, caller, 'swap', request);
    if (request.to === 'busy') throw new Refusal(REFUSAL.swapRunning, 'Another swap of web is running, to v9.', { swap: 'swap-9' });
    if (request.to === 'unknown') throw new Refusal(REFUSAL.noVersion, 'web has no version unknown.');
    if (request.to === 'broken') throw new Error('secret inner failure');
    await this.gate;
    if (request.to === 'late') {
      this.begin('swap', request.to);
      setImmediate(() => this.script(this));
      throw new Refusal(REFUSAL.swapRunning, 'Processes of late are still being started.', { deploy: 'deploy-1', swap: 'deploy-1' });
    }
    const started = request.to !== 'v1';
    if (started) this.begin('swap', request.to);
    else this.web.swap ??= this.blank('swap', 'v1', { state: 'done', finished: true });
    const view = this.lastSwap(name);
    if (started) setImmediate(() => this.script(this));
    return { started, view };
  }

  private blank(kind: SwapView['kind'], to: string, more: Partial<SwapView> = {}): SwapView {
    return {
      id: `swap-${this.calls.length}`,
      upstream: 'web',
      kind,
      upstreamKind: 'web',
      from: 'v1',
      to,
      state: 'admitting',
      paused: false,
      finished: false,
      killed: 0,
      weight: 0,
      requestedBy: 'test',
      reason: null,
      stageEndsAt: null,
      verdict: null,
      gate: null,
      steps: [],
      stopping: [],
      receipt: null,
      ...more,
    };
  }

  private begin(kind: SwapView['kind'], to: string): void {
    this.web.swap = this.blank(kind, to);
    this.step('requested');
  }

  planSwap(name: string, request: SwapAsk, caller: Caller): Plan {
    this.change(name, caller, 'planSwap', request);
    return { dryRun: true, upstream: name, from: 'v1', to: request.to, steps: ['admit v2 within 30s', 'cut over: v2 100 %', 'drain v1', 'release v1'] };
  }

  async deploy(name: string, request: DeployRequest, caller: Caller): Promise<{ started: boolean; view: DeployView }> {
    this.change(name, caller, 'deploy', request);
    if (request.version === 'busy')
      throw new Refusal(REFUSAL.swapRunning, 'A deploy of web to v9, asked for by bob, is starting its processes.', { swap: 'swap-9' });
    const started = request.version !== 'v1';
    if (started) this.begin('swap', request.version);
    return { started, view: await this.deployById('deploy-1', 0) };
  }

  planDeploy(name: string, request: DeployRequest): Plan {
    return { dryRun: true, upstream: this.upstream(name).name, from: 'v1', to: request.version, steps: [`start 1 process of ${request.version}`] };
  }

  async deployById(id: string, _waitMs: number): Promise<DeployView> {
    if (id !== 'deploy-1') throw new Refusal(REFUSAL.noDeploy);
    const swap = this.web.swap?.id ?? null;
    const base = { id, upstream: 'web', version: this.web.swap?.to ?? 'v1', requestedBy: 'test', requestedAt: AT, reason: null, code: null };
    return { ...base, state: 'swapping', swap, processes: [], failed: [], stopping: false };
  }

  async output(name: string, id: string, { replica, lines, after }: OutputAsk): Promise<OutputView> {
    this.version(name, id);
    if (replica === 9) throw new Refusal(REFUSAL.notFound, 'There is no process 9.');
    const told = after === null ? ['listening', 'ready'].slice(-lines) : [];
    const one = { replica: 1, lines: told, bytes: 16, dropped: 0, missed: 0 };
    return { upstream: name, version: id, running: after === null, cursor: '1:16', replicas: [one] };
  }

  async rollback(name: string, to: string | null, caller: Caller): Promise<SwapView> {
    this.change(name, caller, 'rollback', to);
    if (to === 'gone') throw new Refusal(REFUSAL.nothingKept);
    this.begin('rollback', to ?? 'v0');
    setImmediate(() => this.script(this));
    return this.lastSwap(name);
  }

  async steer(name: string, verb: string, caller: Caller): Promise<SwapView> {
    this.change(name, caller, verb);
    if (this.web.swap === null) throw new Refusal(REFUSAL.noRunningSwap);
    this.web.swap = { ...this.web.swap, paused: verb === 'pause' };
    return this.web.swap;
  }

  lastSwap(name: string): SwapView {
    const { swap } = this.upstream(name);
    if (swap === null) throw new Refusal(REFUSAL.noSwap);
    return swap;
  }

  swapById(id: string): SwapView {
    if (this.web.swap?.id !== id) throw new Refusal(REFUSAL.noSwap);
    return this.web.swap;
  }

  async setSplit(name: string, weights: Record<string, number>, caller: Caller): Promise<UpstreamView> {
    this.change(name, caller, 'setSplit', weights);
    return { ...this.web, split: weights };
  }

  async hold(name: string, held: boolean, caller: Caller): Promise<UpstreamView> {
    this.change(name, caller, 'hold', held);
    this.web = { ...this.web, held, revision: this.web.revision + 1 };
    return this.web;
  }

  async drainBackend(name: string, address: string, caller: Caller): Promise<UpstreamView> {
    this.change(name, caller, 'drainBackend', address);
    return this.web;
  }

  receipt(name: string, id: string): Receipt {
    this.upstream(name);
    const receipt = this.receipts.get(id);
    if (receipt === undefined) throw new Refusal(REFUSAL.noReceipt);
    return receipt;
  }

  explain(name: string, id: string | null): Explanation {
    this.upstream(name);
    const facts = [
      { fact: '127.0.0.1:9003 refuses connections', blocks: 'admitted' as const },
      { fact: 'rise is 2', blocks: 'nothing' as const },
    ];
    return { upstream: name, version: id, summary: `${id ?? 'web'} waits for a healthy backend.`, facts };
  }

  waitFor(name: string, id: string, goal: Goal, timeoutMs: number, signal: AbortSignal): Promise<{ reached: boolean; view: VersionView }> {
    const reached = (): boolean => this.version(name, id).phase === goal || (goal === 'admitted' && this.version(name, id).phase === 'live');
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.listeners.delete(check);
        resolve({ reached: reached(), view: this.version(name, id) });
      };
      const check = (): void => {
        if (reached() || isFinal(this.version(name, id).phase)) finish();
      };
      const timer = setTimeout(finish, timeoutMs);
      this.listeners.add(check);
      signal.addEventListener('abort', finish, { once: true });
      check();
    });
  }

  eventsAfter(id: string | null): { events: LoggedEvent[]; complete: boolean } {
    const at = this.log.findIndex((event) => event.id === id);
    return { events: this.log.slice(at + 1), complete: !this.forgotten && at !== -1 };
  }

  onEvent(listener: (event: LoggedEvent) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  members(name: string): MemberView[] {
    this.upstream(name);
    return [];
  }

  async report(name: string, member: string, report: Report): Promise<OrderView> {
    this.calls.push({ name: 'report', args: [name, member, report] });
    this.upstream(name);
    return { order: 'run', generation: 9, reportWithin: 5_000, expiresIn: 12_000 };
  }

  leave(name: string, member: string, instance: string | null): void {
    this.calls.push({ name: 'leave', args: [name, member, instance] });
    this.upstream(name);
  }

  certificates = (): CertificateView[] => this.shown;

  async reloadCertificates({ by }: Caller): Promise<ReloadView> {
    this.calls.push({ name: 'reloadCertificates', args: [by] });
    const refused = this.shown.flatMap(({ file, refused: reason }) => (reason === null ? [] : [{ file, reason }]));
    return { reloaded: this.shown.length - refused.length, refused, certificates: this.shown };
  }

  ready = (): { ready: boolean; why: string } => (this.isReady ? { ready: true, why: 'serving' } : { ready: false, why: 'shutting down' });
}
