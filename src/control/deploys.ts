/**
 * THE LIFE OF A DEPLOY: the whole recipe.
 *
 *     intended (on disk) ─▶ started ─▶ listens ─▶ a swap: admitted, live, drained, released ─▶ stopped
 *          └────────────────┴───────────┴─▶ failed: all of it is stopped, nothing has moved
 *
 * The swap has the id of the deploy. A deploy that a crash cuts short before its swap is recorded is taken back at the next start.
 */
import { randomUUID } from 'node:crypto';
import { parseLaunch } from '../config/parse.ts';
import type { LaunchSpec } from '../config/launch.ts';
import { maskedCommand } from '../config/masked-command.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { Launch } from '../launch/launch.ts';
import { LaunchError } from '../launch/launch.ts';
import type { Launches } from '../launch/launches.ts';
import type { SwapRequest, SwitchyardEvent } from '../swap/ports.ts';
import { refuseStale } from '../swap/stale.ts';
import type { Fleet } from './fleet.ts';
import { backendsOf, isPortless } from './launching.ts';
import type { Caller, DeployRequest, DeployView, Plan, ProcessView } from './operations.ts';
import { processView } from './launch-views.ts';
import type { History } from '../history/history.ts';
import { launchFactsOf, recordFailed } from './_past.ts';

const REMEMBERED = 1_000;
/** What is stopped may take so much longer than its stop timeout before a deploy ends without its end. */
const END_GRACE_MS = 10_000;

interface Deploy {
  readonly id: string;
  readonly upstream: string;
  readonly version: string;
  readonly by: string;
  readonly at: number;
  state: 'starting' | 'swapping' | 'failed';
  reason: string | null;
  code: string | null;
  processes: DeployView['failed'];
  /** By whose word it is taken back; null = it is not. */
  aborted: string | null;
  /** Its processes are up, and its swap is about to be recorded: from here on that is what is aborted. */
  isUp: boolean;
  /** Resolves when it is a swap, or has failed. */
  settled: Promise<void>;
}

export interface DeploysParts {
  readonly fleet: Fleet;
  readonly launches: Launches;
  readonly history: History;
  /** Why programs may not be started from here; null = they may. */
  readonly forbidden: () => string | null;
  readonly emit: (event: SwitchyardEvent) => void;
}

export class Deploys {
  private readonly parts: DeploysParts;
  private readonly deploys = new Map<string, Deploy>();

  constructor(parts: DeploysParts) {
    this.parts = parts;
  }

  /**
   * Begins a deploy. `started` false = the version is live already, or this very deploy is going on; nothing was changed.
   * @throws Refusal; then nothing was started
   */
  async start(name: string, request: DeployRequest, caller: Caller): Promise<{ started: boolean; view: DeployView }> {
    this.refuseForbidden();
    const { fleet, launches } = this.parts;
    const spec = this.specOf(name, request);
    const going = this.starting(name);
    if (going !== null) {
      if (going.version === request.version && launches.isSame(name, request.version, spec)) return { started: false, view: this.viewOf(going) };
      throw busy(going);
    }
    const { driver } = fleet.get(name);
    refuseStale(driver.state, caller.ifMatch);
    if (this.isKnown(name, request.version, spec)) {
      const id = randomUUID();
      const { started, swap } = await driver.swap({ to: request.version, ...request.swap }, id, caller);
      return { started, view: this.ofSwap(name, swap?.id ?? null, request.version, caller.by) };
    }
    const deploy: Deploy = {
      id: randomUUID(),
      upstream: name,
      version: request.version,
      by: caller.by,
      at: Date.now(),
      state: 'starting',
      reason: null,
      code: null,
      processes: [],
      aborted: null,
      isUp: false,
      settled: Promise.resolve(),
    };
    driver.plan({ to: request.version, backends: placeholders(spec, request.version, fleet.get(name).config.policy), ...request.swap });
    this.remember(deploy);
    const portless = isPortless(fleet.get(name).config.policy);
    const over = Promise.withResolvers<void>();
    const prepared = fleet.seeds
      .giveWay(name, request.version, over.promise)
      .then(() => launches.prepare({ id: deploy.id, upstream: name, version: request.version, spec, by: caller.by, portless }));
    // Who aborts it while an earlier launch of the version still ends waits for that, too.
    deploy.settled = prepared
      .then(
        (launch) => this.run(deploy, launch, request, caller),
        () => undefined,
      )
      .finally(over.resolve);
    try {
      await prepared;
    } catch (error) {
      this.deploys.delete(deploy.id);
      throw error;
    }
    return { started: true, view: this.viewOf(deploy) };
  }

  /** From the start of the processes to the swap, or back. Never rejects. */
  private async run(deploy: Deploy, launch: Launch, request: DeployRequest, caller: Caller): Promise<void> {
    const { fleet, launches } = this.parts;
    const began = performance.now();
    try {
      if (deploy.aborted === null) await launch.start(began + launch.spec.startTimeout);
      if (deploy.aborted !== null) throw new Error(deploy.aborted);
      deploy.isUp = true;
      const facts = launchFactsOf(launch.spec);
      const ms = Math.round(performance.now() - began);
      const started = { version: deploy.version, processes: launch.replicas.length, addresses: launch.addresses, ms, ...facts };
      const { driver } = fleet.get(deploy.upstream);
      await driver.swap({ to: deploy.version, backends: backendsOf(launch.addresses), ...request.swap, started }, deploy.id, caller);
      launch.claimed = true;
      deploy.state = 'swapping';
      // It may have been rejected by now.
      launches.follow(
        deploy.upstream,
        driver.state.versions.map(({ id }) => id),
      );
    } catch (error) {
      const known = fleet.served.get(deploy.upstream)?.driver.state.swap;
      // It was recorded, and only what follows from that has failed: that is tried again.
      if (known?.id === deploy.id) {
        launch.claimed = true;
        deploy.state = 'swapping';
        return;
      }
      // A driver that cannot stop anything holds up nobody: it is tried again for as long as it takes.
      await withinMs(launch.spec.stopTimeout + END_GRACE_MS, launches.end(launch));
      deploy.reason = deploy.aborted ?? messageOf(error);
      deploy.code = error instanceof Refusal ? error.fault.code : null;
      deploy.processes =
        error instanceof LaunchError && deploy.aborted === null
          ? error.processes.map(({ replica, problem, output }) => ({ replica, problem, output: [...output] }))
          : [];
      deploy.state = 'failed';
      this.recordFailed(deploy, launch.spec, deploy.reason);
      this.parts.emit({ type: 'deploy-failed', upstream: deploy.upstream, version: deploy.version, data: { deploy: deploy.id, reason: deploy.reason } });
    }
  }

  private recordFailed({ id, upstream, version, by, aborted }: Deploy, spec: LaunchSpec, reason: string): void {
    const { fleet, history } = this.parts;
    const from = fleet.served.get(upstream)?.driver.state.split.at(0)?.version ?? null;
    recordFailed(history, { id, upstream, version, by, spec, from, outcome: aborted === null ? 'failed' : 'aborted', reason });
  }

  /**
   * Takes back a deploy whose processes are not up yet. Resolves when nothing of it runs, or that could not be brought about in time.
   * @returns null when there is none, or its swap is what has to be aborted
   */
  async abort(name: string, caller: Caller): Promise<DeployView | null> {
    const deploy = this.starting(name);
    if (deploy === null) return null;
    refuseStale(this.parts.fleet.get(name).driver.state, caller.ifMatch);
    const launch = this.parts.launches.get(name, deploy.version);
    if (!deploy.isUp) {
      deploy.aborted = `aborted by ${caller.by}`;
      // What waits for the start hears of it by that, and waits for the end, within limits.
      if (launch !== null) void this.parts.launches.end(launch);
    }
    // An earlier launch of the version that does not end holds up nobody who aborts.
    await withinMs((launch?.spec.stopTimeout ?? 0) + 2 * END_GRACE_MS, deploy.settled);
    return deploy.aborted === null ? null : this.viewOf(deploy);
  }

  /** What a deploy would do. Refused like the deploy itself; changes nothing. */
  plan(name: string, request: DeployRequest): Plan {
    this.refuseForbidden();
    const spec = this.specOf(name, request);
    this.refuseStarting(name);
    const { fleet } = this.parts;
    const { driver } = fleet.get(name);
    const known = this.isKnown(name, request.version, spec);
    const plan = driver.plan({
      to: request.version,
      ...(known ? {} : { backends: placeholders(spec, request.version, fleet.get(name).config.policy) }),
      ...request.swap,
    });
    if (known) return { dryRun: true, upstream: name, ...plan };
    const what = spec.driver === 'docker' ? [`image ${spec.image ?? ''}`, ...maskedCommand(spec.command)].join(' ') : maskedCommand(spec.command).join(' ');
    const count = `${spec.replicas} ${spec.replicas === 1 ? 'process' : 'processes'}`;
    const ends = driver.state.split
      .map(({ version }) => version)
      .filter((version) => this.parts.launches.get(name, version) !== null)
      .map((version) => `stop the processes of ${version}: SIGTERM, and SIGKILL after ${spec.stopTimeout / 1_000} s`);
    // Where they will listen is decided when they are started.
    const [, ...rest] = plan.steps;
    return {
      dryRun: true,
      upstream: name,
      from: plan.from,
      to: plan.to,
      steps: [`start ${count} of ${request.version}: ${what}`, `register ${request.version} with ${count}`, ...rest, ...ends],
    };
  }

  /** @throws Refusal while a deploy of the upstream starts its processes: its swap is the next there. */
  refuseStarting(name: string): void {
    const going = this.starting(name);
    if (going !== null) throw busy(going);
  }

  /** The one that starts its processes now; null = none does. */
  going(name: string): DeployView | null {
    const deploy = this.starting(name);
    return deploy === null ? null : this.viewOf(deploy);
  }

  byId(id: string): DeployView {
    const deploy = this.deploys.get(id);
    if (deploy !== undefined) return this.viewOf(deploy);
    const found = this.parts.fleet.swaps.get(id);
    if (found !== undefined) return this.ofSwap(found.upstream, id, found.swap.to, found.swap.requestedBy);
    throw new Refusal(REFUSAL.noDeploy, `There is no deploy ${id}: it was too long ago, or was taken back when the proxy was started again.`);
  }

  /** Resolves when it is no longer starting, or after `ms`. */
  async settled(id: string, ms: number): Promise<DeployView> {
    const deploy = this.deploys.get(id);
    if (deploy?.state === 'starting') await withinMs(ms, deploy.settled);
    return this.byId(id);
  }

  private specOf(name: string, request: DeployRequest): LaunchSpec {
    return request.spec ?? parseLaunch(request.launch ?? {}, this.parts.fleet.get(name).config.launch);
  }

  /** Whether the version is there, launched in just this way. */
  private isKnown(name: string, version: string, spec: LaunchSpec): boolean {
    const { launches, fleet } = this.parts;
    const { state } = fleet.get(name).driver;
    const known = state.versions.find(({ id }) => id === version);
    if (known === undefined) return false;
    if (launches.isSame(name, version, spec)) return true;
    const why = launches.get(name, version) === null ? 'it was not launched, but registered with backends that ran already' : 'it was launched in another way';
    throw new Refusal(REFUSAL.versionExists, `Version ${version} of ${name} is ${known.phase}, and ${why}.`, { version, phase: known.phase });
  }

  private starting(name: string): Deploy | null {
    return [...this.deploys.values()].find((deploy) => deploy.upstream === name && deploy.state === 'starting') ?? null;
  }

  private viewOf({ id, upstream, version, by, at, state, reason, code, processes }: Deploy): DeployView {
    return {
      id,
      upstream,
      version,
      state,
      requestedBy: by,
      requestedAt: new Date(at).toISOString(),
      reason,
      code,
      swap: state === 'swapping' ? id : null,
      processes: this.processes(upstream, version),
      failed: processes,
      stopping: state === 'failed' && this.parts.launches.stopping(upstream).includes(version),
    };
  }

  private ofSwap(upstream: string, swap: string | null, version: string, by: string): DeployView {
    const processes = this.processes(upstream, version);
    const at = this.parts.fleet.swaps.get(swap ?? '')?.swap.requestedAt ?? Date.now();
    const requestedAt = new Date(at).toISOString();
    return {
      id: swap ?? '',
      upstream,
      version,
      state: 'swapping',
      requestedBy: by,
      requestedAt,
      reason: null,
      code: null,
      swap,
      processes,
      failed: [],
      stopping: false,
    };
  }

  private processes(upstream: string, version: string): ProcessView[] {
    return this.parts.launches.processes(upstream, version).map(processView);
  }

  private remember(deploy: Deploy): void {
    this.deploys.set(deploy.id, deploy);
    if (this.deploys.size <= REMEMBERED) return;
    const oldest = [...this.deploys.values()].find(({ state }) => state !== 'starting');
    if (oldest !== undefined) this.deploys.delete(oldest.id);
  }

  /** @throws Refusal unless programs may be started by those who can reach the admin API. */
  refuseForbidden(): void {
    const why = this.parts.forbidden();
    if (why !== null) throw new Refusal(REFUSAL.forbidden, why);
  }
}

/** Addresses that nobody has: only whether the swap would be refused is asked with them. */
function placeholders({ replicas }: LaunchSpec, version: string, policy: UpstreamPolicy): SwapRequest['backends'] {
  return backendsOf(Array.from({ length: replicas }, (_, i) => (isPortless(policy) ? `${version}-${i + 1}` : `127.0.0.1:${i + 1}`)));
}

/** Resolves when `promise` does, or after `ms`. */
export async function withinMs(ms: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function busy({ id, upstream, version, by, at }: Deploy): Refusal {
  return new Refusal(REFUSAL.swapRunning, `A deploy of ${upstream} to ${version}, asked for by ${by}, is starting its processes; it can be aborted.`, {
    swap: id,
    to: version,
    state: 'starting',
    requestedBy: by,
    requestedAt: new Date(at).toISOString(),
  });
}
