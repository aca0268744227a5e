import t from 'tap';
import type { OutputView, SwapView } from '../../src/control/operations.ts';
import { launchedBy, restart, startLaunching } from '../helpers/launched.ts';
import { MAIN, NodeProcess } from '../helpers/process.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { LATE } from './deploy-world.ts';
import { verb } from './verb.ts';

/** Serves, and counts aloud. */
const COUNTING = [
  process.execPath,
  '-e',
  `let i = 0; setInterval(() => console.log('count ' + i++), 10);
   require('node:http').createServer((request, response) => response.end('ok')).listen(process.env.PORT, '127.0.0.1')`,
];

function counted(text: string): number[] {
  return [...text.matchAll(/^count (\d+)\n/gm)].map(([, digits]) => Number(digits));
}

async function output(proxy: Proxy, query = ''): Promise<OutputView> {
  return (await proxy.admin(`/v1/upstreams/web/versions/v1/logs${query}`)).json as OutputView;
}

t.test('output goes on while no proxy runs, and who follows it misses nothing', async (t) => {
  const proxy = await startLaunching(t, { launch: { command: COUNTING } });
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const [{ pid }] = launchedBy(proxy);
  const follower = new NodeProcess([MAIN, 'logs', 'web', 'v1', '--lines', '1', '-f'], { env: { SWITCHYARD_ADMIN_URL: proxy.adminUrl } });
  t.teardown(() => follower.stop('SIGKILL'));
  await eventually('some lines', () => counted(follower.stdout).length > 20, LATE);
  const before = counted(follower.stdout).at(-1) ?? 0;
  await proxy.kill();
  await restart(proxy);
  await eventually('lines of afterwards', () => (counted(follower.stdout).at(-1) ?? 0) > before + 100, LATE);
  t.equal(launchedBy(proxy)[0].pid, pid, 'it is the same process');
  const seen = counted(follower.stdout);
  t.strictSame(
    seen,
    seen.map((_, i) => seen[0] + i),
    'each line once, in order',
  );
  const last = await output(proxy, '?lines=5');
  t.match(last, { running: true, replicas: [{ replica: 1, dropped: 0, missed: 0 }] });
  t.equal(last.replicas[0].lines.length, 5);
  const next = await output(proxy, `?after=${last.cursor}&wait=10s`);
  t.ok(next.replicas[0].lines.length > 0);
  t.equal((await proxy.admin('/v1/upstreams/web/versions/v1/logs?after=nonsense')).status, 400);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2')).code, 0);
  t.match(await follower.wait(LATE), { code: 0 }, 'it ends with what it follows');
  t.match(follower.stderr, /its processes have ended/);
});

t.test('what a process said that never got healthy is in the answer of the command and in the evidence', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const sick = await verb(proxy, 'deploy', 'web', '--version', 'v2', '--env', 'SICK=1', '--admission-timeout', '4s');
  t.match(sick, { code: 1, stdout: /status 500, expected 2xx[^\n]*\n +version v2 replica 1\n/ });
  const swap = (await proxy.admin('/v1/upstreams/web/swap')).json as SwapView;
  const backends = swap.steps.find(({ name }) => name === 'not admitted')?.evidence.backends as Record<string, { output: string[] }>;
  t.strictSame(
    Object.values(backends).map((one) => one.output),
    [['version v2 replica 1']],
  );
});

t.test('a cursor of an earlier launch of the version misses nothing of the new one, and repeats nothing', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const first = await eventually('its line on disk', async () => {
    const view = await output(proxy);
    return view.replicas[0].bytes > 0 && view.replicas[0].lines.length > 0 ? view : null;
  });
  t.strictSame(first.replicas[0].lines, ['version v1 replica 1']);
  const ended = await output(proxy, `?after=${first.cursor}`);
  t.strictSame(ended.replicas[0].lines, [], 'as long as it is the same launch');
  for (const version of ['v2', 'v1']) t.equal((await verb(proxy, 'deploy', 'web', '--version', version)).code, 0);
  // The new one has printed just as much: its bytes are not those of before.
  const anew = await output(proxy, `?after=${first.cursor}&wait=20s`);
  t.strictSame(anew.replicas, first.replicas);
  t.strictSame((await output(proxy, `?after=${anew.cursor}`)).replicas[0].lines, []);
  t.equal((await proxy.admin(`/v1/upstreams/web/versions/v1/logs?after=${first.cursor.split('/')[1]}`)).status, 200, 'one without a launch is taken, too');
});
