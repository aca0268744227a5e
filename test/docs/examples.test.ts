import t from 'tap';
import type { Test } from 'tap';
import { execFile } from 'node:child_process';
import { chmod, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Proxy } from '../helpers/proxy.ts';
import { MAIN, ROOT } from '../helpers/process.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempDir } from '../helpers/temp.ts';

const EXAMPLES = join(ROOT, 'docs', 'examples');

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a script of the examples with `switchyard` on the PATH. */
async function bash(t: Test, script: string, args: readonly string[], env: Record<string, string>): Promise<Ran> {
  const bin = await tempDir(t);
  await writeFile(join(bin, 'switchyard'), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  await chmod(join(bin, 'switchyard'), 0o755);
  return new Promise((resolve) => {
    const options = { cwd: join(EXAMPLES, 'compose'), env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, ...env }, timeout: 150_000 };
    const child = execFile('bash', [join(EXAMPLES, script), ...args], options, (_, out, err) => resolve({ code: child.exitCode, out, err }));
  });
}

t.test('the configurations of the examples are valid', async (t) => {
  for (const name of await readdir(EXAMPLES, { recursive: true })) {
    if (!/config\.(json|ts)$/.test(name)) continue;
    const { exit, err } = await startCli(['check', '--config', join(EXAMPLES, name)]).done;
    t.same([exit, err], [0, ''], name);
  }
});

t.test('the unit of systemd lives as the proxy does', async (t) => {
  const unit = await readFile(join(EXAMPLES, 'systemd', 'switchyard.service'), 'utf8');
  t.match(unit, /^KillMode=process$/m, 'what was launched goes on when the proxy is started again');
  t.match(unit, /^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
  const verbs = [...unit.matchAll(/\/usr\/bin\/switchyard (\w+)/g)].map(([, verb]) => verb);
  t.same(verbs, ['check', 'run']);
});

t.test('deploy.sh deploys, and goes back when the smoke test fails', async (t) => {
  const proxy = await Proxy.start(t, {
    upstreams: { web: { routes: [{ host: '*', path: '/' }], health: { path: '/healthz', interval: '200ms', admitInterval: '50ms' } } },
    launch: { onShutdown: 'stop' },
  });
  t.teardown(() => proxy.stop());
  const env = { SWITCHYARD_ADMIN_URL: proxy.adminUrl, HOLD: '200ms', REPLICAS: '1', RECEIPTS: proxy.dir };
  const deploy = (version: string, more: Record<string, string> = {}): Promise<Ran> =>
    bash(t, 'deploy.sh', ['web', version, 'env', `VERSION=${version}`, process.execPath, 'server.js'], { ...env, ...more });
  const first = await deploy('v1');
  t.equal(first.code, 0, first.out + first.err);
  t.equal((await proxy.send()).body.toString(), 'v1\n');
  const second = await deploy('v2', { SMOKE_URL: proxy.url });
  t.equal(second.code, 0, second.out + second.err);
  t.equal((await proxy.send()).body.toString(), 'v2\n');
  t.match(JSON.parse(await readFile(join(proxy.dir, 'web-v2.json'), 'utf8')), { name: 'web', split: { v2: 100 } });
  const third = await deploy('v3', { SMOKE_URL: `${proxy.url.replace(/\d+$/, '1')}/` });
  t.equal(third.code, 1, third.out + third.err);
  t.match(third.err, /the smoke test has failed; going back/);
  t.equal((await proxy.send()).body.toString(), 'v2\n', 'the version before is back');
  t.match(await bash(t, 'deploy.sh', ['web'], env), { code: 2, err: /^Deploys a version by canary/ });
});
