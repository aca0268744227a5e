import type { UpstreamView, VersionView } from '../control/operations.ts';
import type { Phase } from '../pool/phase.ts';
import { stepLine, swapTitle } from './_steps.ts';
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

/** The versions of an upstream as a table, newest first. */
export function versionLines(versions: readonly VersionView[], paint: Paint, now: number): string[] {
  const rows = versions
    .toReversed()
    .map((version) => [
      version.id,
      phaseText(version.phase, paint),
      `${version.weight} %`,
      healthyText(version, paint),
      String(version.inFlight),
      String(version.counts.started),
      String(version.counts.upstreamFailed),
      String(version.counts.killed),
      ago(version.createdAt, now),
    ]);
  return table(VERSION_HEAD, rows);
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
  const held = upstream.held ? paint('yellow', `  held, ${plural(upstream.waiting, 'request')} waiting`) : '';
  const closed = upstream.maintenance ? paint('yellow', '  in maintenance') : '';
  return `${paint('bold', upstream.name)}  ${live === '' ? paint('red', 'nothing is live') : live}${held}${closed}  ${paint('dim', `revision ${upstream.revision}`)}`;
}

/** An upstream in short: its split, its versions, and a line for a swap that is running. */
export function upstreamLines(upstream: UpstreamView, paint: Paint, now: number): string[] {
  const { swap } = upstream;
  const running =
    swap === null || swap.finished ? [] : [`  swap ${swap.from ?? 'nothing'} → ${swap.to}: ${swap.state}${swap.paused ? ', paused' : ''} at ${swap.weight} %`];
  return [title(upstream, paint), ...running, ...versionLines(upstream.versions, paint, now)];
}

/** An upstream at length: also its backends and the steps of its swap. */
export function upstreamDetails(upstream: UpstreamView, paint: Paint, now: number): string[] {
  const lines = [title(upstream, paint), ...versionLines(upstream.versions, paint, now)];
  for (const version of upstream.versions.toReversed()) {
    if (version.phase !== 'released' && version.phase !== 'rejected') lines.push('', ...backendLines(version, paint));
  }
  const { swap } = upstream;
  if (swap === null) return lines;
  lines.push('', `  ${swap.finished ? 'last' : 'running'} swap ${swap.id}, asked for by ${swap.requestedBy}: ${swap.state}${swap.paused ? ', paused' : ''}`);
  lines.push(`  ${swapTitle(swap, paint)}`, ...swap.steps.map((step) => stepLine(step, swap, paint)));
  return lines;
}
