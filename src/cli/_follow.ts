import type { GateView, OutputView, SwapView, UpstreamKind, VersionView } from '../control/operations.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../config/duration.ts';
import { ApiError, Unreachable } from './_client.ts';
import type { Client } from './_client.ts';
import { upstreamPath } from './_paths.ts';
import { receiptLines } from './_receipt.ts';
import { stageLine, stageOf, watchedVersion } from './_progress.ts';
import { stepLine, swapTitle } from './_steps.ts';
import { LiveLine, painter, redraws } from './_terminal.ts';
import type { Paint } from './_terminal.ts';
import { plural } from './_text.ts';
import { wordsFor } from './_words.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call } from './verb.ts';

export type Until = 'admitted' | 'live' | 'drained' | 'released';

/** How long one look at a swap may be held back for its next step, in milliseconds. */
const LOOK_MS = 1_000;
/** Between two looks while processes are being stopped. */
const STOPPING_LOOK_MS = 100;
/** How long the admin API may be away while a swap is watched: a restart of the proxy takes less, also on a machine that is busy with its own. */
const AWAY_MS = 30_000;
const AWAY_PAUSE_MS = 250;
/** Lines of what did not get well, and of how many processes. */
const PRINTED = 10;
const MOST_SPEAKERS = 5;
/** Of a version that was rejected; those that have failed first. */
const SHOWN_BACKENDS = 20;

const ORDER: readonly Until[] = ['admitted', 'live', 'drained', 'released'];

export interface Watch {
  /** null = until the swap is finished. */
  readonly until: Until | null;
  readonly timeoutMs: number;
  /** Whether a canary step without a hold has to be promoted by hand. */
  readonly promoted: boolean;
}

const OUTCOME: Readonly<Record<string, string>> = { rejected: 'was rejected', 'rolled-back': 'was rolled back', aborted: 'was aborted' };

function reached(swap: SwapView, until: Until | null): boolean {
  // What a gate does not release yet must not be destroyed yet.
  if (until === null) return swap.finished && swap.gate === null;
  const enough = ORDER.slice(ORDER.indexOf(until));
  // Steps of an incoming version that was withdrawn are not what was waited for.
  const steps = swap.steps.filter(({ evidence }) => until === 'admitted' || until === 'live' || evidence.version !== swap.to);
  return steps.some(({ name }) => (enough as readonly string[]).includes(name));
}

/** A gate before the release has said stop: that is for a person. */
function keptBy({ upstream, from }: SwapView, { name, said }: GateView): CliError {
  const old = from ?? 'the version before';
  const hint = `release it all the same with: switchyard drain ${upstream} ${old}; or go back to it with: switchyard rollback ${upstream}`;
  return new CliError(EXIT.unfinished, `the swap is done, but the gate ${name} keeps ${old} from its release: ${said ?? 'stop'}`, hint);
}

function failed(swap: SwapView): boolean {
  return swap.finished && swap.state !== 'done';
}

/** Nothing was live before, so that nothing has to be drained. */
function nothingToDrain(swap: SwapView): boolean {
  return swap.finished && swap.from === null;
}

/** Tells what happens to a swap, as it happens, until it has got where it should. */
class Follower {
  private readonly call: Call;
  private readonly watch: Watch;
  private readonly api: Client;
  private readonly line: LiveLine;
  private readonly paint: Paint;
  private readonly stop = new AbortController();
  private readonly deadline: number;
  private last: SwapView['steps'][number] | null = null;
  private awaySince: number | null = null;
  /** The most that was seen in flight on the version that drains. */
  private most = 0;

  constructor(call: Call, watch: Watch) {
    this.call = call;
    this.watch = watch;
    this.api = call.api;
    this.line = new LiveLine(call.io);
    this.paint = painter(call.io.stdout, call.io.env);
    this.deadline = performance.now() + watch.timeoutMs;
  }

  async run(first: SwapView): Promise<SwapView> {
    const off = this.call.io.onInterrupt(() => this.stop.abort());
    let swap = first;
    if (!this.call.json) this.line.print(swapTitle(swap, this.paint));
    try {
      for (;;) {
        this.tell(swap);
        if (this.isOver(swap)) {
          this.tellOpen(swap);
          return swap;
        }
        this.check(swap);
        await this.drawProgress(swap);
        swap = await this.look(swap);
      }
    } catch (error) {
      this.check(swap);
      throw error;
    } finally {
      this.line.clear();
      off();
    }
  }

  /** What was let go is waited for until its processes, too, have ended, unless an earlier goal was named. */
  private isOver(swap: SwapView): boolean {
    const { until } = this.watch;
    const over = failed(swap) || nothingToDrain(swap) || reached(swap, until);
    return over && (swap.stopping.length === 0 || (!swap.finished && until !== null) || until === 'admitted' || until === 'live' || until === 'drained');
  }

  /** Ends the watch, not the swap, on Ctrl-C and at the timeout. */
  private check(swap: SwapView): void {
    if (swap.gate?.stopped === true) throw keptBy(swap, swap.gate);
    const why = this.stop.signal.aborted ? 'interrupted' : performance.now() >= this.deadline ? 'the timeout has passed' : null;
    if (why === null) return;
    this.line.clear();
    const where = swap.finished
      ? `${swap.from ?? 'the version before'} is kept ${swap.gate === null ? 'for a rollback' : `by the gate ${swap.gate.name}`}`
      : `the swap of ${swap.upstream} to ${swap.to} goes on (${swap.state})`;
    if (this.call.json) this.call.io.stdout.write(`${JSON.stringify(swap, null, 2)}\n`);
    const steer =
      swap.state === 'cutting-over' && this.watch.promoted
        ? 'take the next step with: switchyard promote UPSTREAM'
        : 'watch it with: switchyard status UPSTREAM --watch';
    throw new CliError(EXIT.unfinished, `${why}; ${where}`, swap.finished ? null : `${steer}; end it with: switchyard abort UPSTREAM`);
  }

  private tell(swap: SwapView): void {
    const { last } = this;
    const seen = last === null ? -1 : swap.steps.findLastIndex(({ name, at }) => name === last.name && at === last.at);
    // 'requested' is the title, and 'rejected' is told at the end, backend by backend.
    const told = swap.steps.slice(seen + 1).filter(({ name }) => name !== 'requested' && name !== 'rejected');
    if (!this.call.json) for (const step of told) this.line.print(stepLine(step, swap, this.paint));
    this.last = swap.steps.at(-1) ?? null;
  }

  /** A version that is still open to its sessions must not be destroyed yet, though the swap is done. */
  private tellOpen(swap: SwapView): void {
    const open = swap.steps.findLast(({ name }) => name === 'open')?.evidence.version;
    if (this.call.json || !swap.finished || typeof open !== 'string') return;
    if (swap.steps.some(({ name, evidence }) => name === 'released' && evidence.version === open)) return;
    this.line.print(`  ${open} may not be destroyed yet; wait for that with: switchyard wait ${swap.upstream} ${open} --for released`);
  }

  private async look(swap: SwapView): Promise<SwapView> {
    const left = this.deadline - performance.now();
    const timeout = formatDuration(Math.max(1, Math.min(LOOK_MS, Math.ceil(left))));
    const path = `/v1/swaps/${encodeURIComponent(swap.id)}`;
    // A finished swap is only watched on for the release of a kept version; it gets no further long poll.
    const query = swap.finished ? {} : { after: String(swap.steps.length), timeout };
    try {
      const { body } = await this.api.call<SwapView>('GET', path, { query, signal: this.stop.signal, patience: LOOK_MS });
      this.awaySince = null;
      const pause = body.stopping.length > 0 ? STOPPING_LOOK_MS : LOOK_MS;
      if (swap.finished) await sleep(Math.min(pause, Math.max(0, left)), undefined, { signal: this.stop.signal });
      return body;
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      this.awaySince ??= performance.now();
      if (performance.now() - this.awaySince > AWAY_MS) throw error;
      await sleep(AWAY_PAUSE_MS, undefined, { signal: this.stop.signal });
      return swap;
    }
  }

  private async drawProgress(swap: SwapView): Promise<void> {
    if (this.call.json) return;
    if (this.awaySince !== null) return this.line.draw((sign) => `  ${sign} the admin API does not answer; trying again`);
    const watched = watchedVersion(swap);
    const version = watched === null ? null : await versionOf(this.api, swap.upstream, watched);
    this.most = version === null ? 0 : Math.max(this.most, version.inFlight);
    const live = redraws(this.call.io.stdout, this.call.io.env);
    const { most } = this;
    if (stageOf(swap, version, Date.now(), most) === null) return;
    this.line.draw((sign) => {
      const stage = stageOf(swap, version, Date.now(), most);
      return stage === null ? '' : stageLine(stage, sign, this.paint, live);
    });
  }
}

async function versionOf(api: Client, upstream: string, id: string): Promise<VersionView | null> {
  try {
    return (await api.call<VersionView>('GET', `/v1/upstreams/${encodeURIComponent(upstream)}/versions/${encodeURIComponent(id)}`)).body;
  } catch (error) {
    if (error instanceof ApiError || error instanceof Unreachable) return null;
    throw error;
  }
}

/** What processes have printed that keep it elsewhere, in an engine for one. */
async function printedLast(api: Client, swap: SwapView): Promise<string[]> {
  if (!swap.steps.some(({ name }) => name === 'started')) return [];
  try {
    const query = { lines: String(PRINTED) };
    const { body } = await api.call<OutputView>('GET', `${upstreamPath(swap.upstream, 'versions', swap.to)}/logs`, { query });
    const spoken = body.replicas.filter(({ lines }) => lines.length > 0).slice(0, MOST_SPEAKERS);
    return spoken.flatMap(({ replica, lines }) => [`    process ${replica} of ${swap.to} printed last:`].concat(lines.map((line) => `      ${line}`)));
  } catch (error) {
    if (error instanceof ApiError || error instanceof Unreachable) return [];
    throw error;
  }
}

interface Seen {
  readonly health: string;
  readonly lastProbe: { readonly status: number | null; readonly error: string | null; readonly ms: number } | null;
  /** What it has printed last; only where it was launched. */
  readonly output?: readonly string[];
}

/** Why a swap failed: each backend of the rejected version with its last probe, as the swap has kept it. */
async function backendLines(api: Client, swap: SwapView): Promise<string[]> {
  const kept = swap.steps.findLast(({ name }) => name === 'not admitted')?.evidence.backends as Readonly<Record<string, Seen>> | undefined;
  if (kept !== undefined) {
    const lines = failedFirst(Object.entries(kept)).map(([address, seen]) => {
      const said = (seen.output ?? []).map((line) => `      ${line}`);
      return [backendLine(address, seen, swap.upstreamKind)].concat(said).join('\n');
    });
    const known = Object.values(kept).some(({ output = [] }) => output.length > 0);
    return fewLines(lines).concat(known ? [] : await printedLast(api, swap));
  }
  const version = await versionOf(api, swap.upstream, swap.to);
  return fewLines((version?.backends ?? []).map((backend) => backendLine(backend.address, backend, swap.upstreamKind)));
}

function failedFirst(backends: [string, Seen][]): [string, Seen][] {
  return backends.toSorted(([, a], [, b]) => Number(a.health === 'healthy') - Number(b.health === 'healthy'));
}

function fewLines(lines: readonly string[]): string[] {
  const more = lines.length - SHOWN_BACKENDS;
  return more <= 0 ? [...lines] : [...lines.slice(0, SHOWN_BACKENDS), `    and ${more} more`];
}

function backendLine(address: string, { health, lastProbe }: Seen, kind: UpstreamKind): string {
  if (kind === 'worker') return `    ${address}  ${lastProbe === null ? 'has not reported' : (lastProbe.error ?? 'ready')}`;
  const probe = lastProbe === null ? 'was not probed' : (lastProbe.error ?? (lastProbe.status === null ? 'passed' : `answered ${lastProbe.status}`));
  return `    ${address}  ${health}: ${probe}${lastProbe === null ? '' : ` (${Math.round(lastProbe.ms)} ms)`}`;
}

/** Only the waiting has ended. */
function goesOn({ upstream, to, from, state }: SwapView, until: Until): string {
  const what = until === 'admitted' || until === 'live' ? to : (from ?? 'the version before');
  return `${what} is ${until}, and nobody waits any longer; the swap goes on (${state}): switchyard status ${upstream} --watch`;
}

/**
 * Watches a swap and shows its steps, then its receipt; with --json, only the swap as it ended.
 * @returns the exit code.
 */
export async function followSwap(call: Call, started: SwapView, watch: Watch): Promise<number> {
  const swap = await new Follower(call, watch).run(started);
  const { io } = call;
  const paint = painter(io.stdout, io.env);
  if (call.json) io.stdout.write(`${JSON.stringify(swap, null, 2)}\n`);
  else if (swap.receipt !== null) io.stdout.write(`${receiptLines(swap.receipt, paint).join('\n')}\n`);
  if (!call.json && !swap.finished && watch.until !== null) io.stdout.write(`${goesOn(swap, watch.until)}\n`);
  if (failed(swap)) {
    const moved = swap.steps.some(({ name }) => name.startsWith('weight ') || name === 'live');
    const rest = moved ? `all traffic is back on ${swap.from ?? 'what was live before'}` : 'nothing moved';
    const listed = !call.json && swap.state === 'rejected';
    if (listed) io.stdout.write((await backendLines(call.api, swap)).map((line) => `${line}\n`).join(''));
    throw new CliError(
      EXIT.failed,
      `the swap of ${swap.upstream} to ${swap.to} ${OUTCOME[swap.state] ?? `ended ${swap.state}`}; ${rest}`,
      listed ? null : swap.reason,
    );
  }
  if (swap.killed > 0) {
    throw new CliError(
      EXIT.killed,
      `${plural(swap.killed, wordsFor(swap.upstreamKind).request)} of ${swap.from ?? 'the outgoing version'} ${swap.upstreamKind === 'worker' ? 'had to be counted as killed' : 'had to be killed at the drain deadline'}`,
      'give them longer with --drain-timeout',
    );
  }
  return EXIT.done;
}
