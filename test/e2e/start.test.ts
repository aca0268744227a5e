import t from 'tap';
import type { Test } from 'tap';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../helpers/ports.ts';
import { killPid, MAIN, NodeProcess, ROOT } from '../helpers/process.ts';
import { send } from '../helpers/raw_client.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const LATE = 60_000;

interface Demo {
  readonly run: NodeProcess;
  readonly dir: string;
  readonly file: string;
  readonly port: number;
  readonly adminUrl: string;
  /** Seconds of processor time from the start to the banner, of the proxy alone. */
  readonly cost: number;
}

/** The configuration of the project itself, on other ports and with a state folder of its own. */
async function start(t: Test): Promise<Demo> {
  const dir = await tempDir(t);
  const text = await readFile(join(ROOT, 'proxy.config.ts'), 'utf8');
  const known = ['8080', '9900'];
  const ports = await freePorts(known.length);
  const places = new Map(known.map((port, i) => [port, String(ports[i])]));
  // In one go: a new port may hold the digits of an old one.
  const moved = text
    .replace("'./src/config/define.ts'", `'${join(ROOT, 'src/config/define.ts')}'`)
    .replaceAll(new RegExp(`\\b(?:${known.join('|')})\\b`, 'g'), (port) => places.get(port) ?? port);
  const file = join(dir, 'proxy.config.ts');
  await writeFile(file, moved);
  const adminUrl = `http://127.0.0.1:${ports[1]}`;
  t.teardown(async () => {
    for (const { pid } of await launched(adminUrl)) killPid(pid);
  });
  return again(t, { dir, file, port: ports[0], adminUrl });
}

async function again(t: Test, place: Pick<Demo, 'dir' | 'file' | 'port' | 'adminUrl'>): Promise<Demo> {
  const run = new NodeProcess([MAIN, 'run', '--config', place.file], { cwd: place.dir });
  t.teardown(() => run.stop('SIGKILL'));
  await eventually('the banner', () => run.stdout.includes('try') || !run.running, 60_000, 5);
  return { ...place, run, cost: await processorSeconds(run.pid) };
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

/** Processes that the proxy of this configuration has launched, and what keeps their output. */
async function launched(adminUrl: string): Promise<{ pid: number; version: string }[]> {
  const found: { pid: number; version: string }[] = [];
  for (const name of (await readdir('/proc')).filter((each) => /^\d+$/.test(each))) {
    const env = (await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')).split('\0');
    if (!env.includes(`SWITCHYARD_ADMIN_URL=${adminUrl}`) || !env.some((each) => each.startsWith('SWITCHYARD_LAUNCH='))) continue;
    if (!(await isGone(Number(name)))) found.push({ pid: Number(name), version: env.find((each) => each.startsWith('SWITCHYARD_VERSION='))?.slice(19) ?? '' });
  }
  return found;
}

function versionsOf(processes: readonly { version: string }[]): string {
  return processes
    .map(({ version }) => version)
    .toSorted()
    .join(' ');
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
  t.equal(command, 'swap web --to v2', run.stdout);
  const swap = new NodeProcess([MAIN, ...(command ?? '').split(' ')], { env: { SWITCHYARD_ADMIN_URL: adminUrl } });
  t.equal((await swap.wait(60_000)).code, 0, swap.stdout + swap.stderr);
  t.match(swap.stdout, /admitted[^]*live[^]*drained[^]*released[^]*receipt/);
  t.match((await send(port, { target: '/api' })).body.toString(), /"version":"v2"/);
  t.equal(versionsOf(await launched(adminUrl)), 'v2 v2', 'what was let go has ended');
  const back = await startCli(['swap', 'web', '--to', 'v1'], { SWITCHYARD_ADMIN_URL: adminUrl }).done;
  t.equal(back.exit, 0, back.out + back.err);
  t.match(back.out, /started[^]*admitted[^]*live[^]*released[^]*stopped/, 'and it is started again to go back to it');
  t.match((await send(port, { target: '/api' })).body.toString(), /"version":"v1"/);
});

t.test('Ctrl-C ends it with 0 and leaves nothing behind', async (t) => {
  const { run, port, adminUrl } = await start(t);
  await eventually('both versions', async () => versionsOf(await launched(adminUrl)) === 'v1 v1 v2 v2', LATE);
  const slow = send(port, { target: '/slow?ms=700' });
  await eventually('the request', async () => (await send(port, { target: '/api' })).status === 200, LATE);
  run.child.kill('SIGINT');
  t.strictSame(await run.wait(LATE), { code: 0, signal: null }, run.stdout + run.stderr);
  t.equal((await slow).status, 200, 'what was in flight has ended');
  t.match(run.stderr, /SIGINT: draining[^]*every request was completed/);
  t.strictSame(await launched(adminUrl), []);
});

t.test('killed and started again it takes over what it had launched', async (t) => {
  const { run, ...place } = await start(t);
  const { port, adminUrl } = place;
  await eventually('both versions', async () => versionsOf(await launched(adminUrl)) === 'v1 v1 v2 v2', LATE);
  const swap = await startCli(['swap', 'web', '--to', 'v2'], { SWITCHYARD_ADMIN_URL: adminUrl }).done;
  t.equal(swap.exit, 0, swap.out + swap.err);
  const before = await launched(adminUrl);
  await run.stop('SIGKILL');
  const next = await again(t, place);
  t.match(next.run.stdout, /web +v2 live, \d of 2 backends healthy[^]*try +npx switchyard swap web --to v1\n/);
  await eventually('an answer', async () => (await send(port, { target: '/api' })).body.toString().includes('"version":"v2"'), LATE);
  t.strictSame(await launched(adminUrl), before);
  next.run.child.kill('SIGINT');
  t.equal((await next.run.wait(LATE)).code, 0);
  t.strictSame(await launched(adminUrl), []);
});
