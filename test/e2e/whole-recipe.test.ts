/** What somebody sees who deploys the example three times in a row while it is under load: a good version, one that never gets healthy, one that is slow. */
import t from 'tap';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { killPid } from '../helpers/process.ts';
import { Proxy } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';

/** The service of somebody else: it knows nothing of the proxy but PORT, and ends in peace. */
const SERVICE = `
import { createServer } from 'node:http';
const { PORT, VERSION, SICK, DELAY = '0' } = process.env;
const server = createServer((request, response) => {
  response.setHeader('x-version', VERSION);
  if (request.url === '/healthz') return response.writeHead(SICK ? 500 : 200).end();
  let bytes = 0;
  request.on('data', (chunk) => (bytes += chunk.length));
  request.once('end', () => setTimeout(() => response.end(String(bytes)), Number(DELAY)));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

/** Processes whose environment says that they are of this service. */
async function processesOf(mark: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    if (environ.split('\0').includes(`RECIPE=${mark}`)) found.push(/(?:^|\0)VERSION=([^\0]*)/.exec(environ)?.[1] ?? '?');
  }
  return found.toSorted();
}

t.test('three deploys in a row under load: no request is lost to them, and nothing is left over', async (t) => {
  const dir = await tempDir(t);
  await writeFile(join(dir, 'server.mjs'), SERVICE);
  const mark = `${process.pid}-${Date.now()}`;
  const proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{ host: '*', path: '/' }],
        sticky: { header: 'x-key' },
        health: { path: '/healthz', interval: '200ms', admitInterval: '100ms' },
        admission: { timeout: '4s' },
      },
    },
  });
  const deploy = (version: string, env: Record<string, string>, ...flags: string[]) =>
    proxy.cli(
      [
        'deploy',
        'web',
        `--version=${version}`,
        '--replicas=2',
        `--cwd=${dir}`,
        '--stop-timeout=5s',
        `--env=RECIPE=${mark}`,
        `--env=VERSION=${version}`,
        ...Object.entries(env).map(([name, value]) => `--env=${name}=${value}`),
        ...flags,
        '--',
        process.execPath,
        'server.mjs',
      ],
      { deadline: 120_000 },
    );
  t.teardown(async () => {
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      if (environ.split('\0').includes(`RECIPE=${mark}`)) killPid(Number(pid));
    }
  });

  const first = await deploy('v1', {});
  t.equal(first.code, 0, first.stdout + first.stderr);
  t.same(await processesOf(mark), ['v1', 'v1']);
  const traffic = new Traffic({ port: proxy.port, clients: 16, keyed: true, posts: 20, freshEvery: 4, pause: 2 });
  t.teardown(() => traffic.stop());

  const broken = await deploy('v2', { SICK: '1' });
  t.equal(broken.code, 1, broken.stdout + broken.stderr);
  t.match(broken.stdout, /not admitted +0 of 2 backends healthy/);
  t.match(broken.stdout + broken.stderr, /500/, 'it says what the probes saw');
  await eventually('the end of the processes of v2', async () => !(await processesOf(mark)).includes('v2'), 30_000);
  t.same(await processesOf(mark), ['v1', 'v1']);

  const slow = await deploy('v3', { DELAY: '150' }, '--canary', '50', '--hold', '30s', '--analysis', 'on');
  t.equal(slow.code, 1, slow.stdout + slow.stderr);
  t.match(slow.stdout, /✗ judged/, 'the verdict took it back');
  t.match(slow.stderr, /rolled back; all traffic is back on v1/);
  await eventually('the end of the processes of v3', async () => !(await processesOf(mark)).includes('v3'), 30_000);
  t.same(await processesOf(mark), ['v1', 'v1'], 'nothing is left over');

  const good = await deploy('v4', {}, '--canary', '50', '--hold', '1s');
  t.equal(good.code, 0, good.stdout + good.stderr);
  t.match(good.stdout, /released[^]*receipt {2}web v1/);
  t.same(await processesOf(mark), ['v4', 'v4'], 'the predecessor is destroyed when the command ends');

  await traffic.stop();
  const bad = traffic.taken.filter(({ status }) => status !== 200);
  t.same(bad.slice(0, 3), [], `0 of ${traffic.taken.length} requests failed`);
  const served = new Set(traffic.taken.map(({ version }) => version));
  t.same([...served].toSorted(), ['v1', 'v3', 'v4'], 'the broken one never had traffic');
});
