import { setTimeout as sleep } from 'node:timers/promises';
import type { ConfigView } from '../control/config-views.ts';
import type { CertificateView, UpstreamView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { Rates } from './_rates.ts';
import { plural } from './_text.ts';
import { FRAMES, painter, redraws, Screen } from './_terminal.ts';
import { upstreamDetails, upstreamLines, watchedLines } from './_upstream.ts';
import { certificateTroubles, firstToExpire } from './certificates.ts';
import { EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

const WATCH_MS = 500;

async function read(call: Call, signal?: AbortSignal): Promise<UpstreamView[] | UpstreamView> {
  const [name] = call.args;
  if (name === undefined) return (await call.api.call<UpstreamView[]>('GET', '/v1/upstreams', { signal })).body;
  return (await call.api.call<UpstreamView>('GET', upstreamPath(name), { signal })).body;
}

function show(call: Call, view: UpstreamView[] | UpstreamView): string {
  const paint = painter(call.io.stdout, call.io.env);
  const now = Date.now();
  if (!Array.isArray(view)) return upstreamDetails(view, paint, now).join('\n');
  if (view.length === 0) return 'no upstreams';
  return view.map((upstream) => upstreamLines(upstream, paint, now).join('\n')).join('\n\n');
}

/** Whether what runs is what the file of the proxy says. */
async function drifts(call: Call): Promise<string[]> {
  const { drift, source } = (await call.api.call<ConfigView>('GET', '/v1/config')).body;
  if (drift.length === 0) return [];
  const text = `${plural(drift.length, 'field')} ${drift.length === 1 ? 'is' : 'are'} not what the ${source.kind} ${source.name} says; see them with: switchyard diff`;
  return ['', painter(call.io.stdout, call.io.env)('yellow', `! ${text}`)];
}

/** They are of no upstream, and of all. */
async function certificates(call: Call): Promise<string[]> {
  const { body } = await call.api.call<CertificateView[]>('GET', '/v1/certificates');
  const now = Date.now();
  const first = firstToExpire(body, now);
  if (first === null) return [];
  const paint = painter(call.io.stdout, call.io.env);
  return ['', paint('dim', first), ...certificateTroubles(body, now).map((text) => paint('yellow', `! ${text}`))];
}

/** The picture of `--watch` on a terminal: who is asked and when, then the upstreams with what moves. */
function picture(call: Call, view: UpstreamView[] | UpstreamView, rates: Rates, frame: number): string {
  const paint = painter(call.io.stdout, call.io.env);
  const now = Date.now();
  const sign = FRAMES[frame % FRAMES.length];
  const head = paint('dim', `${call.api.base.host}  ${new Date(now).toTimeString().slice(0, 8)}  Ctrl-C ends`);
  const blocks = Array.isArray(view)
    ? view.map((upstream) => watchedLines(upstream, paint, now, rates, sign).join('\n'))
    : [upstreamDetails(view, paint, now, watchedLines(view, paint, now, rates, sign)).join('\n')];
  return [head, ...(blocks.length === 0 ? ['no upstreams'] : blocks)].join('\n\n');
}

async function watch(call: Call): Promise<number> {
  const stop = new AbortController();
  const off = call.io.onInterrupt(() => stop.abort());
  const screen = new Screen(call.io);
  const rates = new Rates();
  const live = redraws(call.io.stdout, call.io.env);
  let last = '';
  try {
    for (let frame = 0; !stop.signal.aborted; frame++) {
      const view = await read(call, stop.signal);
      const line = JSON.stringify(view);
      rates.take(Array.isArray(view) ? view : [view], performance.now());
      if (!call.json) screen.draw(live ? picture(call, view, rates, frame) : show(call, view));
      else if (line !== last) call.io.stdout.write(`${line}\n`);
      last = line;
      await sleep(WATCH_MS, undefined, { signal: stop.signal });
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    screen.end();
    off();
  }
  return EXIT.done;
}

/** `switchyard status`: what there is and how it is. */
export const statusVerb: Verb = {
  name: 'status',
  args: [{ name: 'UPSTREAM', required: false }],
  summary: 'shows upstreams, versions, phases, weights, health and what is in flight',
  details:
    'Without UPSTREAM all of them in short; with it also each backend with its last probe, and the steps of the running or last swap. Below them: which certificate is the first to expire, and what is the matter with any. With --watch on a terminal the picture is drawn over and over, with requests a second and, while a swap runs, its progress.',
  examples: ['switchyard status', 'switchyard status web --watch', "switchyard status web --json | jq '.versions[].phase'"],
  see: ['explain', 'versions', 'events'],
  flags: { watch: { type: 'boolean', help: 'show it again whenever it changes, until Ctrl-C; with --json as JSON lines' } },
  run: async (call) => {
    if (call.has('watch')) return watch(call);
    const view = await read(call);
    if (call.json) call.io.stdout.write(`${JSON.stringify(view, null, 2)}\n`);
    else call.io.stdout.write(`${[show(call, view), ...(await certificates(call)), ...(await drifts(call))].join('\n')}\n`);
    return EXIT.done;
  },
};
