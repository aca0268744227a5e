import { randomUUID } from 'node:crypto';
import type { DeployView, Plan, SwapView } from '../control/operations.ts';
import { followSwap } from './_follow.ts';
import { upstreamPath } from './_paths.ts';
import { startFailure, watchStart } from './_starting.ts';
import { DEFAULT_TIMEOUT_MS, goalOf, isPromoted, printPlan, SWAP_FLAGS, swapOptions } from './swap.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

/** `NAME=value`, or NAME alone: as it is in the environment of this command. */
function envOf(call: Call): Record<string, string> {
  const env: Record<string, string> = {};
  for (const text of call.texts('env')) {
    const at = text.indexOf('=');
    const name = at === -1 ? text : text.slice(0, at);
    const value = at === -1 ? call.io.env[name] : text.slice(at + 1);
    if (name === '' || value === undefined) throw new CliError(EXIT.usage, `--env ${text}: expected NAME=value, or the NAME of a variable that is set here`);
    env[name] = value;
  }
  return env;
}

function numberOf(call: Call, flag: string): number | undefined {
  const text = call.text(flag);
  if (text !== undefined && !/^[1-9]\d{0,4}$/.test(text))
    throw new CliError(EXIT.usage, `--${flag} is ${JSON.stringify(text)}; expected a whole number of at least 1`);
  return text === undefined ? undefined : Number(text);
}

function launchOf(call: Call): Record<string, unknown> {
  const env = envOf(call);
  const image = call.text('image');
  // A program named here is meant as from here.
  const cwd = call.text('cwd') ?? (call.rest.length > 0 && image === undefined && !call.has('driver') ? process.cwd() : undefined);
  const fields = {
    driver: call.text('driver') ?? (image === undefined ? undefined : 'docker'),
    image,
    port: numberOf(call, 'container-port'),
    command: call.rest.length === 0 ? undefined : call.rest,
    cwd,
    replicas: numberOf(call, 'replicas'),
    env: Object.keys(env).length === 0 ? undefined : env,
    startTimeout: call.duration('start-timeout'),
    stopTimeout: call.duration('stop-timeout'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function run(call: Call): Promise<number> {
  const [upstream] = call.args;
  const version = call.text('version');
  if (version === undefined) throw new CliError(EXIT.usage, 'deploy needs --version ID: how the new version is to be called', 'see: switchyard help deploy');
  const until = goalOf(call);
  const timeoutMs = call.duration('timeout') ?? DEFAULT_TIMEOUT_MS;
  const deadline = performance.now() + timeoutMs;
  const body = { version, launch: launchOf(call), ...swapOptions(call) };
  const answer = await call.api.call<DeployView | Plan>('POST', upstreamPath(upstream, 'deploy'), { body, idempotencyKey: randomUUID() });
  if ('dryRun' in answer.body) {
    printPlan(call, answer.body);
    return EXIT.done;
  }
  const deploy = await watchStart(call, answer.body, deadline);
  if (deploy.state === 'failed') throw startFailure(call, deploy);
  const swap = deploy.swap === null ? null : (await call.api.call<SwapView>('GET', `/v1/swaps/${encodeURIComponent(deploy.swap)}`)).body;
  if (answer.status === 200 && (swap === null || swap.finished)) {
    call.print(deploy, `${upstream}  ${version} is live already; nothing was changed`);
    return EXIT.done;
  }
  if (swap === null) throw new CliError(EXIT.failed, `the deploy of ${upstream} to ${version} has no swap`);
  if (answer.status === 200 && !call.json) call.io.stdout.write('this very deploy is running already\n');
  const left = Math.max(1, deadline - performance.now());
  return followSwap(call, swap, { until, timeoutMs: left, promoted: isPromoted(call) });
}

/** `switchyard deploy`: the whole recipe in one command. */
export const deployVerb: Verb = {
  name: 'deploy',
  args: [{ name: 'UPSTREAM', required: true }],
  rest: 'COMMAND',
  summary: 'the whole recipe: start, admit, swap, drain, stop',
  details:
    'Starts the processes of a new version on free ports (PORT in their environment), admits them, moves the traffic, lets the version before finish what it has begun, and stops its processes: SIGTERM, and SIGKILL past their stop timeout. When anything fails, the version before is live as it was and nothing of the new one runs.\n\nWhat is not said here, `launch` of the upstream in the configuration says; without a COMMAND that is all. The COMMAND is run without a shell, from this folder unless --cwd names another, on the machine of the proxy. To deploy what is live already changes nothing and is a success.',
  flags: {
    version: { type: 'string', value: 'ID', required: true, help: 'how the new version is called, such as v42 or a commit' },
    replicas: { type: 'string', value: 'N', help: 'how many processes (default 1)' },
    env: { type: 'string', value: 'NAME=value', multiple: true, help: 'in the environment of the processes; NAME alone: as it is here' },
    cwd: { type: 'string', value: 'DIR', help: 'folder to start them in' },
    image: { type: 'string', value: 'NAME', help: 'start containers of this image instead' },
    'container-port': { type: 'string', value: 'N', help: 'where the program in a container listens (default 8080)' },
    driver: { type: 'string', value: 'DRIVER', values: ['process', 'docker', 'exec'], help: 'what starts them (default process)' },
    'start-timeout': { type: 'string', value: 'D', help: 'how long they may take to listen (default 30s)' },
    'stop-timeout': { type: 'string', value: 'D', help: 'between SIGTERM and SIGKILL, when they are stopped one day (default 10s)' },
    ...SWAP_FLAGS,
  },
  examples: [
    'switchyard deploy web --version v42 -- node server.js',
    'switchyard deploy web --version v43 --replicas 3 --env DATABASE_URL --canary 5,25 --hold 1m --rollback-keep 10m -- node server.js',
    'switchyard deploy web --version v44 --image registry.example.com/web:v44',
  ],
  exits: [0, 1, 2, 3, 4, 5, 6],
  see: ['logs', 'swap', 'rollback', 'explain'],
  run,
};
