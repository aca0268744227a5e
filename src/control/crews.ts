import { Crew } from '../members/crew.ts';
import { Poller } from '../members/poller.ts';
import { ReportBody, reportOf } from '../members/report.ts';
import { MemberStore } from '../members/store.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { parseAddress } from '../pool/address.ts';
import type { UpstreamPolicy, WorkerPolicy } from '../pool/policy.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { SwapPorts, SwitchyardEvent } from '../swap/ports.ts';

/** The workers of an upstream in the real world: with clocks, a disk, and polls where they do not report by themselves. */
export class Workers {
  readonly crew: Crew;
  private readonly poller: Poller | null;
  private readonly store: MemberStore;

  /** @throws Refusal when what is on disk about them is damaged. */
  constructor(
    name: string,
    policy: WorkerPolicy,
    stateDir: string,
    parts: { evidence: (version: string, member: string) => void; emit: (event: SwitchyardEvent) => void },
  ) {
    this.store = new MemberStore(stateDir, name);
    const heard = new Set<string>();
    this.crew = new Crew(name, policy, {
      ...parts,
      // Of hundreds of members that report, or vanish, in one moment the life of a swap hears once.
      evidence: (version, member) => {
        if (heard.has(version)) return;
        heard.add(version);
        setImmediate(() => {
          heard.delete(version);
          parts.evidence(version, member);
        });
      },
      now: () => performance.now(),
      wall: Date.now,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      store: this.store,
    });
    this.poller = policy.poll === null ? null : this.pollerOf(policy.poll);
  }

  private pollerOf(policy: NonNullable<WorkerPolicy['poll']>): Poller {
    const { register } = this.crew;
    const instances = new Map<string, string>();
    return new Poller({
      policy,
      orderFor: (address, within) => register.polls(address, instances.get(address) ?? null, within),
      answered: (version, address, body) => {
        const read = ReportBody.safeParse(body);
        if (!read.success) return `its answer is no report: ${read.error.issues[0].path.join('.')} ${read.error.issues[0].message}`.trim();
        if (read.data.version !== version) return `it says that it is of ${read.data.version}`;
        const report = reportOf(read.data);
        instances.set(address, report.instance);
        this.crew.take(address, report);
        return null;
      },
      failed: (version, address, error) => register.pollFailed(version, address, error),
    });
  }

  /** Whether they are asked, instead of reporting by themselves. */
  get polls(): boolean {
    return this.poller !== null;
  }

  setPolicy(policy: WorkerPolicy): void {
    this.crew.setPolicy(policy);
    if (this.poller !== null && policy.poll !== null) this.poller.policy = policy.poll;
  }

  /** As the life of a swap sees them; polls go with it. */
  ports(): ReturnType<Crew['ports']> {
    const ports = this.crew.ports();
    const { poller } = this;
    if (poller === null) return ports;
    const probe: SwapPorts['probe'] = (version, mode, policy) => {
      ports.probe(version, mode, policy);
      if (mode === 'off') poller.forget(version.id);
      else
        poller.watch(
          version.id,
          version.backends.map(({ address }) => address),
        );
    };
    return {
      ...ports,
      probe,
      publish: async (state, policy) => {
        const generation = await ports.publish(state, policy);
        poller.hurry();
        return generation;
      },
      cut: (version, kind, spreadMs) => {
        ports.cut(version, kind, spreadMs);
        poller.hurry();
      },
    };
  }

  async close(): Promise<void> {
    this.crew.close();
    await this.poller?.close();
  }

  /** The upstream is no more: nobody is told anything, and nothing is kept. */
  async remove(): Promise<void> {
    await this.close();
    this.store.remove();
  }
}

/** Members that report are known by their names, all else by addresses: which of the two an upstream has cannot change under its versions. */
export function refuseOtherKind(name: string, policy: Pick<UpstreamPolicy, 'worker'>, { versions }: UpstreamState): void {
  const byName = policy.worker !== null && policy.worker.poll === null;
  const odd = versions.find(({ backends }) => backends.some(({ address }) => (parseAddress(address) === null) !== byName));
  if (odd === undefined) return;
  const has = byName ? 'addresses' : 'members that report';
  throw new Refusal(REFUSAL.invalid, `upstreams.${name}.kind: version ${odd.id} has ${has}; remove the upstream first, or give this one another name.`, {}, [
    { path: `upstreams.${name}.kind`, message: `expected the kind that it has been, because version ${odd.id} has ${has}` },
  ]);
}

/** @throws Refusal when the two policies are of different kinds of upstream. */
export function refuseChangedKind(name: string, before: UpstreamPolicy, after: UpstreamPolicy): void {
  const kind = ({ worker }: UpstreamPolicy): string => (worker === null ? 'web' : worker.poll === null ? 'worker' : 'worker with polls');
  if (kind(before) === kind(after)) return;
  const message = `expected ${kind(before)}, because a running upstream does not change its kind (remove it first), got ${kind(after)}`;
  throw new Refusal(REFUSAL.invalid, `upstreams.${name}.kind: ${message}`, {}, [{ path: `upstreams.${name}.kind`, message }]);
}
