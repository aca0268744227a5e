import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../config/duration.ts';
import type { DeployView, UpstreamView } from '../control/operations.ts';
import { ApiError, Unreachable } from './_client.ts';
import { upstreamPath } from './_paths.ts';
import { LiveLine } from './_terminal.ts';
import { plural } from './_text.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call } from './verb.ts';

const LOOK_MS = 1_000;
/** A swap to a version that is there is answered sooner: then nobody looks for processes. */
const FIRST_LOOK_MS = 250;
/** How long the admin API may be away meanwhile: a restart of the proxy takes less. */
const AWAY_MS = 30_000;
const AWAY_PAUSE_MS = 250;
const CONFLICTS: readonly (string | null)[] = ['swap-running', 'version-exists', 'stale-revision', 'not-now'];
const STEER = 'watch it with: switchyard status UPSTREAM --watch; end it with: switchyard abort UPSTREAM';

function draw(line: LiveLine, { processes }: DeployView): void {
  const running = processes.filter(({ state }) => state === 'running').length;
  line.draw((sign) => `  ${sign} starting      ${running} of ${plural(processes.length, 'process', 'processes')} up`);
}

function deployPath(id: string): string {
  return `/v1/deploys/${encodeURIComponent(id)}`;
}

/** Watches the processes start; resolves when there is a swap, or it has failed. */
export async function watchStart(call: Call, first: DeployView, deadline: number): Promise<DeployView> {
  const line = new LiveLine(call.io);
  const stop = new AbortController();
  const off = call.io.onInterrupt(() => stop.abort());
  let away: number | null = null;
  let deploy = first;
  try {
    while (deploy.state === 'starting') {
      if (stop.signal.aborted || performance.now() >= deadline) {
        throw new CliError(
          EXIT.unfinished,
          `${stop.signal.aborted ? 'interrupted' : 'the timeout has passed'}; the deploy of ${deploy.version} goes on (starting)`,
        );
      }
      if (!call.json) draw(line, deploy);
      try {
        const query = { wait: formatDuration(LOOK_MS) };
        deploy = (await call.api.call<DeployView>('GET', deployPath(deploy.id), { query, signal: stop.signal, patience: LOOK_MS })).body;
        away = null;
      } catch (error) {
        if (stop.signal.aborted) continue;
        if (error instanceof ApiError && error.code === 'no-such-deploy')
          throw new CliError(EXIT.failed, `the proxy was started again meanwhile, and the deploy of ${deploy.version} taken back; nothing moved`);
        if (!(error instanceof Unreachable)) throw error;
        away ??= performance.now();
        if (performance.now() - away > AWAY_MS) throw error;
        await sleep(AWAY_PAUSE_MS);
      }
    }
    return deploy;
  } finally {
    line.clear();
    off();
  }
}

/** Tells of each process why it did not start. */
export function startFailure(call: Call, deploy: DeployView): CliError {
  const lines = deploy.failed.flatMap(({ replica, problem, output }) => [`    process ${replica}: ${problem}`, ...output.map((text) => `      ${text}`)]);
  if (call.json) call.io.stdout.write(`${JSON.stringify(deploy, null, 2)}\n`);
  else
    call.io.stdout.write(
      [`${deploy.upstream}  ${deploy.version}`, `  ✗ not started${lines.length === 0 && deploy.reason !== null ? `   ${deploy.reason}` : ''}`, ...lines]
        .map((text) => `${text}\n`)
        .join(''),
    );
  const exit = CONFLICTS.includes(deploy.code) ? EXIT.conflict : EXIT.failed;
  const why = deploy.failed.length > 0 ? 'its processes could not be started' : (deploy.reason ?? 'it is not known why');
  const left = deploy.stopping ? 'what was started could not be stopped yet, which is tried again' : `nothing of ${deploy.version} runs`;
  return new CliError(exit, `the deploy of ${deploy.upstream} to ${deploy.version} has failed: ${why}; nothing moved, and ${left}`);
}

/** The deploy of a version that starts its processes now; null = there is none, or nobody could be asked. */
async function startOf(call: Call, version: string, signal: AbortSignal): Promise<DeployView | null> {
  try {
    const { deploy } = (await call.api.call<UpstreamView>('GET', upstreamPath(call.args[0]), { signal })).body;
    return deploy?.version === version ? deploy : null;
  } catch (error) {
    // What is wrong is told by the answer that is waited for.
    if (signal.aborted || error instanceof ApiError || error instanceof Unreachable) return null;
    throw error;
  }
}

/** Shows the processes of a version that start for what was asked, until that is `over`; `late` is called when it takes past the deadline. */
async function showStart(call: Call, version: string, deadline: number, over: AbortSignal, late: () => void): Promise<void> {
  const line = new LiveLine(call.io);
  for (let pause = FIRST_LOOK_MS; !over.aborted; pause = LOOK_MS) {
    await sleep(pause, undefined, { signal: over }).catch(() => undefined);
    const deploy = over.aborted ? null : await startOf(call, version, over);
    if (deploy !== null && performance.now() >= deadline) late();
    if (over.aborted || call.json) continue;
    if (deploy !== null) draw(line, deploy);
    else line.draw((sign) => `  ${sign} waiting       for the answer of the proxy`);
  }
  line.clear();
}

/**
 * Asks for a swap to a version that may have to be launched for it, and shows its processes while they start.
 * @param ask resolves with the answer, when there is a swap
 * @throws CliError when Ctrl-C or the deadline has ended the waiting: what was asked for goes on
 */
export async function whileStarting<T>(call: Call, version: string, deadline: number, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const over = new AbortController();
  const off = call.io.onInterrupt(() => stop.abort('interrupted'));
  const shown = showStart(call, version, deadline, over.signal, () => stop.abort('the timeout has passed'));
  try {
    return await ask(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new CliError(EXIT.unfinished, `${String(stop.signal.reason)}; the swap of ${call.args[0]} to ${version} goes on (starting)`, STEER);
  } finally {
    over.abort();
    await shown;
    off();
  }
}

/**
 * The proxy waits for processes for a while, and then says which deploy goes on without it: that is watched.
 * @throws what was refused, when it is anything else; or why they did not start
 */
export async function watchLate(call: Call, refused: unknown, deadline: number): Promise<DeployView> {
  if (!(refused instanceof ApiError) || refused.code !== 'swap-running' || typeof refused.problem.deploy !== 'string') throw refused;
  const { body } = await call.api.call<DeployView>('GET', deployPath(refused.problem.deploy));
  const deploy = await watchStart(call, body, deadline);
  if (deploy.state === 'failed') throw startFailure(call, deploy);
  return deploy;
}
