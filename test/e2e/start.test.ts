import t from 'tap';
import type { Test } from 'tap';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../helpers/ports.ts';
import { MAIN, NodeProcess, ROOT } from '../helpers/process.ts';
import { send } from '../helpers/raw_client.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

interface Demo {
  readonly run: NodeProcess;
  readonly port: number;
  readonly adminUrl: string;
  /** Seconds of processor time from the start to the banner, of the proxy alone. */
  readonly cost: number;
}

/** The configuration of the project itself, on other ports and with a state folder of its own. */
async function start(t: Test): Promise<Demo> {
  const dir = await tempDir(t);
  const text = await readFile(join(ROOT, 'proxy.config.ts'), 'utf8');
  const known = ['8080', '9900', '9001', '9002', '9003', '9004'];
  const ports = await freePorts(known.length);
  const places = new Map(known.map((port, i) => [port, String(ports[i])]));
  // In one go: a new port may hold the digits of an old one.
  const moved = text
    .replace("'./src/config/define.ts'", `'${join(ROOT, 'src/config/define.ts')}'`)
    .replaceAll(new RegExp(`\\b(?:${known.join('|')})\\b`, 'g'), (port) => places.get(port) ?? port);
  const file = join(dir, 'proxy.config.ts');
  await writeFile(file, moved);
  const run = new NodeProcess([MAIN, 'run', '--config', file], { cwd: dir });
  t.teardown(() => run.stop('SIGKILL'));
  await eventually('the banner', () => run.stdout.includes('try') || !run.running, 60_000, 5);
  return { run, port: ports[0], adminUrl: `http://127.0.0.1:${ports[1]}`, cost: await processorSeconds(run.pid) };
}

/** User and system time of a process so far; a tick of Linux is 10 ms. */
async function processorSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** Processes whose parent this one is. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text
    .trim()
    .split(' ')
    .filter((part) => part !== '')
    .map(Number);
}

async function isGone(pid: number): Promise<boolean> {
  return readFile(`/proc/${pid}/stat`, 'utf8').then(
    (stat) => / Z /.test(stat),
    () => true,
  );
}

t.test('the demo is soon ready, and the command that it prints works', async (t) => {
  const { run, port, adminUrl, cost } = await start(t);
  // Time on the wall says more about what else the machine does.
  t.ok(cost < 3, `it needs ${cost} s of processor time`);
  t.match(run.stdout, new RegExp(`front door +http://127\\.0\\.0\\.1:${port}\\n`));
  t.match(run.stdout, new RegExp(`admin +${adminUrl}\\n`));
  t.match(run.stdout, /web +v1 live, 2 of 2 backends healthy/);
  t.match((await send(port, { target: '/' })).body.toString(), /You are served by[^]*v1/, 'a page for people');
  t.match((await send(port, { target: '/api' })).body.toString(), /"version":"v1"/);
  const [, command] = /try +npx switchyard (.*)\n/.exec(run.stdout) ?? [];
  t.ok(command, run.stdout);
  const swap = new NodeProcess([MAIN, ...(command ?? '').split(' ')], { env: { SWITCHYARD_ADMIN_URL: adminUrl } });
  t.equal((await swap.wait(60_000)).code, 0, swap.stdout + swap.stderr);
  t.match(swap.stdout, /admitted[^]*live[^]*drained[^]*released[^]*receipt/);
  t.match((await send(port, { target: '/api' })).body.toString(), /"version":"v2"/);
});

t.test('Ctrl-C ends it with 0 and leaves nothing behind', async (t) => {
  const { run, port, adminUrl } = await start(t);
  const children = await childrenOf(run.pid);
  t.equal(children.length, 2, 'a process a demo version');
  const slow = send(port, { target: '/slow?ms=3000' });
  const view = async (): Promise<string> => (await fetch(`${adminUrl}/v1/upstreams/web`)).text();
  await eventually('the request', async () => /"inFlight":1\b/.test(await view()), 20_000);
  run.child.kill('SIGINT');
  t.strictSame(await run.wait(), { code: 0, signal: null }, run.stdout + run.stderr);
  t.equal((await slow).status, 200, 'what was in flight has ended');
  t.match(run.stderr, /SIGINT: draining[^]*every request was completed/);
  await eventually('the children to end', async () => (await Promise.all(children.map(isGone))).every(Boolean));
});

t.test('a demo whose proxy is killed ends, too', async (t) => {
  const { run } = await start(t);
  const children = await childrenOf(run.pid);
  await run.stop('SIGKILL');
  await eventually('the children to end', async () => (await Promise.all(children.map(isGone))).every(Boolean));
  t.pass();
});
