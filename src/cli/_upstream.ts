import type { DeployView, SwapView, UpstreamView, VersionView } from '../control/operations.ts';
import type { Phase } from '../pool/phase.ts';
import { memberLines } from './_members.ts';
import { stageLine, stageOf, watchedVersion } from './_progress.ts';
import type { Rates } from './_rates.ts';
import { stepLine, swapTitle } from './_steps.ts';
import { bar } from './_terminal.ts';
import type { Paint } from './_terminal.ts';
import { ago, plural, table } from './_text.ts';

function phaseText(phase: Phase, paint: Paint): string {
  if (phase === 'live') return paint('green', phase);
  if (phase === 'rejected') return paint('red', phase);
  return phase === 'released' ? paint('dim', phase) : paint('yellow', phase);
}

function healthyText(version: VersionView, paint: Paint): string {
  const of = version.backends.length;
  const healthy = version.backends.filter(({ health }) => health === 'healthy').length;
  if (version.phase === 'released' || version.phase === 'rejected') return '-';
  return paint(healthy === of ? 'green' : healthy === 0 ? 'red' : 'yellow', `${healthy} of ${of}`);
}

const VERSION_HEAD = ['VERSION', 'PHASE', ' WEIGHT', ' HEALTHY', ' IN FLIGHT', ' REQUESTS', ' FAILED', ' KILLED', ' AGE'];
const WORKER_HEAD = ['VERSION', 'PHASE', ' WEIGHT', ' READY', ' IN HAND', ' LEASES', ' FAILED', ' KILLED', ' AGE'];
const RATE_HEAD = [' REQ/S', ' FAILED/S', 'SHARE'];
const SHARE_WIDTH = 20;

/** What changes while it is looked at: rates, and a bar for the weight. */
function rateCells(upstream: string, { id, phase, weight }: VersionView, rates: Rates, paint: Paint): string[] {
  const rate = rates.of(upstream, id);
  const failed = rate === null ? '-' : rate.failed.toFixed(1);
  const failing = rate !== null && rate.failed > 0;
  return [
    rate === null ? '-' : rate.requests.toFixed(rate.requests < 10 ? 1 : 0),
    failing ? paint('red', failed) : failed,
    phase === 'released' || phase === 'rejected' ? '' : paint(phase === 'live' ? 'green' : 'dim', bar(weight / 100, SHARE_WIDTH)),
  ];
}

/** The versions of an upstream as a table, newest first. */
export function versionLines(versions: readonly VersionView[], paint: Paint, now: number, watched?: { upstream: string; rates: Rates }): string[] {
  const rows = versions.toReversed().map((version) => {
    const cells = [
      version.id,
      version.openUntil === null ? phaseText(version.phase, paint) : paint('yellow', 'open'),
      `${version.weight} %`,
      healthyText(version, paint),
      String(version.inFlight),
      String(version.counts.started),
      String(version.counts.upstreamFailed),
      String(version.counts.killed),
      ago(version.createdAt, now),
    ];
    return watched === undefined ? cells : cells.concat(rateCells(watched.upstream, version, watched.rates, paint));
  });
  const head = versions.at(0)?.kind === 'worker' ? WORKER_HEAD : VERSION_HEAD;
  return table(watched === undefined ? head : [...head, ...RATE_HEAD], rows);
}

function backendLines(version: VersionView, paint: Paint): string[] {
  const rows = version.backends.map(({ address, weight, health, available, ejected, stopped, inFlight, openSockets, requests, lastProbe }) => {
    const colour = health === 'healthy' ? 'green' : health === 'unhealthy' ? 'red' : 'yellow';
    const use = stopped ? paint('yellow', 'stopped') : ejected ? paint('red', 'ejected') : available ? 'yes' : paint('yellow', 'no');
    const probe = lastProbe === null ? '-' : `${lastProbe.error ?? lastProbe.status ?? 'ok'}, ${Math.round(lastProbe.ms)} ms`;
    return [address, String(weight), paint(colour, health), use, String(inFlight), String(openSockets), String(requests), probe];
  });
  return table([`BACKEND OF ${version.id}`, ' WEIGHT', 'HEALTH', 'USED', ' IN FLIGHT', ' SOCKETS', ' REQUESTS', 'LAST PROBE'], rows);
}

function title(upstream: UpstreamView, paint: Paint): string {
  const live = Object.entries(upstream.split)
    .map(([id, weight]) => `${id} ${weight} %`)
    .join(', ');
  const held = upstream.held && upstream.kind === 'worker' ? paint('yellow', '  held: nobody may take work') : '';
  const waiting =
    held !== '' || !(upstream.waiting > 0 || upstream.held)
      ? held
      : paint('yellow', `  ${upstream.held ? 'held, ' : ''}${plural(upstream.waiting, 'request')} waiting`);
  const closed = upstream.maintenance ? paint('yellow', '  in maintenance') : '';
  return `${paint('bold', upstream.name)}  ${live === '' ? paint('red', 'nothing is live') : live}${waiting}${closed}  ${paint('dim', `revision ${upstream.revision}`)}`;
}

function swapLine({ from, to, state, paused, weight, verdict, gate }: SwapView): string {
  const waits = gate === null ? '' : `; waits for the gate ${gate.name}${gate.said === null ? '' : `: ${gate.said}`}`;
  const judged = verdict === null ? '' : `; ${verdict.words}`;
  return `  swap ${from ?? 'nothing'} → ${to}: ${state}${paused ? ', paused' : ''} at ${weight} %${judged}${waits}`;
}

function deployLine({ version, requestedBy, processes }: DeployView): string {
  const up = processes.filter(({ state }) => state === 'running').length;
  return `  deploy of ${version} by ${requestedBy}: starting, ${up} of ${plural(processes.length, 'process', 'processes')} up`;
}

/** What the running swap is doing, with its bar. @param sign one that moves. */
function runningLines({ swap, deploy, versions }: UpstreamView, paint: Paint, now: number, sign: string): string[] {
  if (deploy !== null) return [`  ${paint('yellow', sign)}${deployLine(deploy).slice(1)}`];
  if (swap === null || swap.finished) return [];
  const version = versions.find(({ id }) => id === watchedVersion(swap)) ?? null;
  const stage = stageOf(swap, version, now, 0);
  return [swapLine(swap), ...(stage === null ? [] : [stageLine(stage, sign, paint, true)])];
}

/** An upstream in short: its split, its versions, and a line for a swap that is running. */
export function upstreamLines(upstream: UpstreamView, paint: Paint, now: number): string[] {
  const { swap, deploy } = upstream;
  return [
    title(upstream, paint),
    ...(deploy === null ? [] : [deployLine(deploy)]),
    ...(swap === null || swap.finished ? [] : [swapLine(swap)]),
    ...versionLines(upstream.versions, paint, now),
  ];
}

/** The same while it is watched: with rates, bars and what the swap is doing. */
export function watchedLines(upstream: UpstreamView, paint: Paint, now: number, rates: Rates, sign: string): string[] {
  const versions = versionLines(upstream.versions, paint, now, { upstream: upstream.name, rates });
  return [title(upstream, paint), ...runningLines(upstream, paint, now, sign), ...versions];
}

/** An upstream at length: also its backends and the steps of its swap. */
export function upstreamDetails(upstream: UpstreamView, paint: Paint, now: number, head = upstreamHead(upstream, paint, now)): string[] {
  const lines = [...head];
  for (const version of upstream.versions.toReversed()) {
    if (version.phase !== 'released' && version.phase !== 'rejected')
      lines.push('', ...(version.kind === 'worker' ? memberLines(version, paint, now) : backendLines(version, paint)));
  }
  const { swap } = upstream;
  if (swap === null) return lines;
  lines.push('', `  ${swap.finished ? 'last' : 'running'} swap ${swap.id}, asked for by ${swap.requestedBy}: ${swap.state}${swap.paused ? ', paused' : ''}`);
  if (swap.gate !== null) lines.push(`  gate before the ${swap.gate.before}: ${swap.gate.name}${swap.gate.said === null ? '' : `: ${swap.gate.said}`}`);
  if (swap.verdict !== null) lines.push(`  judged so far: ${swap.verdict.words}`);
  lines.push(`  ${swapTitle(swap, paint)}`, ...swap.steps.map((step) => stepLine(step, swap, paint)));
  return lines;
}

function upstreamHead(upstream: UpstreamView, paint: Paint, now: number): string[] {
  const { deploy } = upstream;
  return [title(upstream, paint), ...(deploy === null ? [] : [deployLine(deploy)]), ...versionLines(upstream.versions, paint, now)];
}
