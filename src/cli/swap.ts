import { randomUUID } from 'node:crypto';
import type { Plan, SwapView } from '../control/operations.ts';
import type { ApiAnswer } from './_client.ts';
import { followSwap } from './_follow.ts';
import type { Until } from './_follow.ts';
import { upstreamPath } from './_paths.ts';
import { watchLate, whileStarting } from './_starting.ts';
import { painter } from './_terminal.ts';
import { parseDuration } from '../config/duration.ts';
import { parseShare } from '../config/share.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

export const DEFAULT_TIMEOUT_MS = 600_000;
/** The answer about a version that the configuration says how to launch comes when its processes are up, or have failed. */
const LAUNCH_PATIENCE_MS = 240_000;
/** What a swap is answered with that was not going on before. */
const BEGUN = 202;
export const GOALS: readonly Until[] = ['admitted', 'live', 'drained', 'released'];

/** Reads `5,25,50` or `5:10s,25:1m,50`; a step without a hold of its own is held for `hold` milliseconds, null = until promoted. */
function canarySteps(text: string, hold: number | null): { weight: number; hold: number | null }[] {
  return text.split(',').map((part) => {
    const [, percent = '', own] = /^(\d{1,2})%?(?::(.+))?$/.exec(part.trim()) ?? [];
    const weight = Number(percent);
    const ownHold = own === undefined ? hold : parseDuration(own);
    if (weight < 1 || (own !== undefined && ownHold === null)) {
      throw new CliError(
        EXIT.usage,
        `--canary has the step ${JSON.stringify(part.trim())}; expected whole percents from 1 to 99, each with its hold if it has one of its own, such as 5,25,50 or 5:10s,25:1m,50:1m`,
      );
    }
    return { weight, hold: ownHold };
  });
}

/** `127.0.0.1:9001`, or with a weight `127.0.0.1:9001=2`. */
function backendOf(text: string): string | { address: string; weight: number } {
  const [address, weight] = text.split('=');
  if (weight === undefined) return address;
  if (!/^\d+$/.test(weight))
    throw new CliError(EXIT.usage, `--backend ${text} has the weight ${JSON.stringify(weight)}; expected a whole number, such as ${address}=2`);
  return { address, weight: Number(weight) };
}

export function goalOf(call: Call): Until | null {
  const text = call.text('until');
  if (text === undefined) return null;
  const goal = GOALS.find((known) => known === text);
  if (goal === undefined) throw new CliError(EXIT.usage, `--until is ${JSON.stringify(text)}; expected one of ${GOALS.join(', ')}`);
  return goal;
}

function defined(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** How the canary is to be judged; undefined when nothing was said. */
function analysisBody(call: Call): boolean | Record<string, unknown> | undefined {
  const word = call.text('analysis');
  if (word !== undefined && word !== 'on' && word !== 'off') throw new CliError(EXIT.usage, `--analysis is ${JSON.stringify(word)}; expected on or off`);
  const number = (flag: string): number | undefined => {
    const text = call.text(flag);
    if (text !== undefined && !/^\d{1,9}(\.\d{1,6})?$/.test(text)) throw new CliError(EXIT.usage, `--${flag} is ${JSON.stringify(text)}; expected a number`);
    return text === undefined ? undefined : Number(text);
  };
  const rate = call.text('error-rate-max');
  if (rate !== undefined && parseShare(rate) === null)
    throw new CliError(EXIT.usage, `--error-rate-max is ${JSON.stringify(rate)}; expected a share such as 1% or 0.01`);
  const limits = defined({
    errorRateMax: rate,
    p99MsMax: call.duration('p99-max'),
    minRequests: number('min-requests'),
    latencyFactor: number('latency-factor'),
  });
  if (limits !== undefined && word === 'off') throw new CliError(EXIT.usage, '--analysis off leaves nothing to hold against the other flags of the judgement');
  return limits ?? (word === undefined ? undefined : word === 'on');
}

/** The members of a version of workers: each by its name, or how many. */
function membersOf(call: Call): number | readonly string[] | undefined {
  const names = call.texts('member');
  const count = call.text('members');
  if (count === undefined) return names.length === 0 ? undefined : names;
  if (names.length > 0) throw new CliError(EXIT.usage, '--members is how many there are, --member names each: give one of the two');
  if (!/^[1-9]\d*$/.test(count)) throw new CliError(EXIT.usage, `--members is ${JSON.stringify(count)}; expected how many there are, such as 3`);
  return Number(count);
}

/** What the flags say of how to swap, as the admin API wants it. */
export function swapOptions(call: Call): Record<string, unknown> {
  const hold = call.duration('hold');
  const asked = call.text('canary');
  const canary = asked === 'off' ? undefined : asked;
  const analysis = analysisBody(call);
  if (hold !== undefined && canary === undefined) throw new CliError(EXIT.usage, '--hold is how long each step of --canary is held; there is no --canary');
  const keep = call.duration('rollback-keep');
  return {
    ...defined({
      strategy: defined({ canary: canary === undefined ? (asked === undefined ? undefined : []) : canarySteps(canary, hold ?? null), analysis }),
    }),
    ...defined({
      admission: defined({ timeout: call.duration('admission-timeout') }),
      drain: defined({ requests: call.duration('drain-timeout'), tunnels: call.duration('tunnel-timeout') }),
      rollback: keep === undefined ? undefined : { keep },
      dryRun: call.has('dry-run') ? true : undefined,
    }),
  };
}

/** Whether a step of the canary waits for somebody who promotes it. */
export function isPromoted(call: Call): boolean {
  const canary = call.text('canary');
  return canary !== undefined && canary !== 'off' && !call.has('hold') && canary.split(',').some((step) => !step.includes(':'));
}

export function printPlan(call: Call, plan: Plan): void {
  const paint = painter(call.io.stdout, call.io.env);
  const lines = plan.steps.map((step, at) => `  ${at + 1}. ${step}`);
  call.print(plan, [`${paint('bold', plan.upstream)}  ${plan.from ?? 'nothing'} → ${paint('bold', plan.to)}  (dry run: nothing is changed)`, ...lines]);
}

function ask(call: Call, body: unknown, signal: AbortSignal): Promise<ApiAnswer<SwapView | Plan>> {
  return call.api.call('POST', upstreamPath(call.args[0], 'swap'), { body, idempotencyKey: randomUUID(), patience: LAUNCH_PATIENCE_MS, signal });
}

async function run(call: Call): Promise<number> {
  const [upstream] = call.args;
  const to = call.text('to');
  if (to === undefined) throw new CliError(EXIT.usage, 'swap needs --to ID: the version to swap to', 'see: switchyard help swap');
  const until = goalOf(call);
  const timeoutMs = call.duration('timeout') ?? DEFAULT_TIMEOUT_MS;
  const backends = call.texts('backend').map(backendOf);
  const members = membersOf(call);
  const named = { ...(backends.length > 0 ? { backends } : {}), ...(members === undefined ? {} : { members }) };
  const body = { to, ...named, ...swapOptions(call) };
  const deadline = performance.now() + timeoutMs;
  const { status, body: answer } = await whileStarting(call, to, deadline, (signal) => ask(call, body, signal)).catch(async (error: unknown) => {
    const { swap } = await watchLate(call, error, deadline);
    return { ...(await call.api.call<SwapView>('GET', `/v1/swaps/${encodeURIComponent(swap ?? '')}`)), status: BEGUN };
  });
  if ('dryRun' in answer) {
    printPlan(call, answer);
    return EXIT.done;
  }
  if (status === 200 && answer.finished) {
    call.print(answer, `${upstream}  ${to} is live already; nothing was changed`);
    return EXIT.done;
  }
  if (status === 200 && !call.json) call.io.stdout.write('this very swap is running already\n');
  const left = Math.max(1, deadline - performance.now());
  return followSwap(call, answer, { until, timeoutMs: left, promoted: isPromoted(call) });
}

/** How a version is swapped to. */
export const SWAP_FLAGS: Verb['flags'] = {
  canary: {
    type: 'string',
    value: '5,25,50',
    help: 'percents to go through before all traffic moves, each with a hold of its own if need be (5:10s,25:1m); off = none, whatever the upstream says',
  },
  hold: { type: 'string', value: 'D', help: 'how long canary steps are held that do not say so themselves (default: until promoted)' },
  analysis: {
    type: 'string',
    value: 'on|off',
    help: 'on: each step has to be judged; off: none is (default: where there is traffic)',
  },
  'error-rate-max': { type: 'string', value: 'SHARE', help: 'largest share of failed requests, such as 1%' },
  'p99-max': { type: 'string', value: 'D', help: 'largest 99th percentile of latency' },
  'min-requests': { type: 'string', value: 'N', help: 'requests of each side that a judgement needs (default 50)' },
  'latency-factor': { type: 'string', value: 'F', help: 'latencies may be so many times those of the other version (default 1.5)' },
  until: {
    type: 'string',
    value: 'GOAL',
    values: GOALS,
    help: 'what to wait for; the swap goes on to its end all the same (default: released, or drained when the old version is kept)',
  },
  timeout: { type: 'string', value: 'D', help: 'how long to wait (default 10m)' },
  'admission-timeout': { type: 'string', value: 'D', help: 'how long the version may take to become healthy' },
  'drain-timeout': { type: 'string', value: 'D', help: 'how long requests (of workers: leases) of the old version may take to finish' },
  'tunnel-timeout': { type: 'string', value: 'D', help: 'how long its streams and WebSockets may' },
  'rollback-keep': { type: 'string', value: 'D', help: 'how long the old version is kept for a rollback' },
  'dry-run': { type: 'boolean', help: 'show the plan and change nothing' },
};

/** `switchyard swap`: steps 2 to 6 of the recipe in one command. */
export const swapVerb: Verb = {
  name: 'swap',
  args: [{ name: 'UPSTREAM', required: true }],
  summary: 'swaps to a version: admit, cut over, drain, release',
  details:
    'Probes the backends of the version until they are ready, moves the traffic to it at once or by canary steps, lets the version before finish what it has begun, proves that it has, and prints the receipt: from then on the old version may be destroyed.\n\nWithout --backend (of workers: --member or --members) the version must be registered already. Without --hold each canary step is held until promoted. The command waits and shows each step, in a log as plain lines; Ctrl-C and --until end the waiting, not the swap: with --until admitted the command returns when the version is ready, and its traffic moves just after; the exit code speaks of what was waited for, and not of what comes later. To stop before traffic moves, pause the swap, or hold it at a step with --canary and no --hold. When anything fails before the last step, the traffic is back where it was and the exit code is 1. To swap to the version that is live already changes nothing and is a success.',
  flags: {
    to: { type: 'string', value: 'ID', required: true, help: 'the version to swap to' },
    backend: { type: 'string', value: 'HOST:PORT', multiple: true, help: 'a backend of a new version; with a weight: HOST:PORT=2' },
    member: { type: 'string', value: 'NAME', multiple: true, help: 'of workers: a member of a new version' },
    members: { type: 'string', value: 'N', help: 'of workers: how many members it has, named ID-1, ID-2, …' },
    ...SWAP_FLAGS,
  },
  examples: [
    'switchyard swap web --to v2 --backend 127.0.0.1:9003 --backend 127.0.0.1:9004',
    'switchyard swap jobs --to v2 --members 3',
    'switchyard swap web --to v2 --canary 5,25,50 --hold 30s --rollback-keep 10m',
  ],
  exits: [0, 1, 2, 3, 4, 5, 6],
  see: ['rollback', 'promote', 'abort', 'receipt', 'explain'],
  run,
};
