/** Containers through the whole proxy: the engine answers as Docker and Podman do, and outlives the proxy. */
import t from 'tap';
import type { Test } from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import { DockerEngine } from '../helpers/docker_engine.ts';
import { restart, startLaunching } from '../helpers/launched.ts';
import { field } from '../helpers/message.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE } from './deploy-world.ts';
import { verb } from './verb.ts';

interface World {
  readonly proxy: Proxy;
  readonly engine: DockerEngine;
  /** Versions of the containers that are there. */
  containers(): string;
}

async function start(t: Test): Promise<World> {
  const engine = await DockerEngine.start(t);
  engine.serves = true;
  const proxy = await startLaunching(t, { launch: { driver: 'docker', image: 'web:1', socket: engine.socket } });
  const containers = (): string =>
    engine.containers
      .map(({ body }) => body.Labels['switchyard.version'])
      .toSorted()
      .join(' ');
  const first = await verb(proxy, 'deploy', 'web', '--version', 'v1');
  t.equal(first.code, 0, first.stdout + first.stderr);
  return { proxy, engine, containers };
}

t.test('started, admitted, swapped to, and what it replaced is removed; one that is not well never gets traffic', async (t) => {
  const { proxy, engine, containers } = await start(t);
  const second = await verb(proxy, 'deploy', 'web', '--version', 'v2', '--replicas', '2', '--image', 'web:2');
  t.match(second, { code: 0, stdout: /started[^]*2 processes started[^]*admitted[^]*live[^]*released[^]*stopped/ });
  t.equal(containers(), 'v2 v2');
  t.equal(field(await proxy.send(), 'x-version'), 'v2');
  const sick = await verb(proxy, 'deploy', 'web', '--version', 'v3', '--env', 'SICK=1', '--admission-timeout', '4s');
  t.match(
    sick,
    { code: 1, stdout: /status 500, expected 2xx[^]*process 1 of v3 printed last:\n +hello\n +oh no\n/ },
    'with what it said, though the engine has it',
  );
  t.equal(containers(), 'v2 v2');
  engine.exit(engine.containers[0], 3);
  await eventually('another in its place', () => containers() === 'v2 v2' && engine.containers.every(({ state }) => state === 'running'), LATE);
  t.strictSame(engine.wrong, []);
});

t.test('killed in the middle: what had no swap yet is removed, and a swap goes on', async (t) => {
  const { proxy, engine, containers } = await start(t);
  // Nothing listens there, so that the deploy stays at its start.
  engine.serves = false;
  await deploy(proxy, { version: 'v2', launch: { replicas: 2 } });
  await eventually('its containers', () => containers() === 'v1 v2 v2', LATE);
  await proxy.kill();
  t.equal(containers(), 'v1 v2 v2', 'they outlive the proxy');
  await restart(proxy);
  await eventually('their end', () => containers() === 'v1', LATE);
  t.equal(field(await proxy.send(), 'x-version'), 'v1');
  engine.serves = true;
  await deploy(proxy, { version: 'v3', strategy: { canary: [{ weight: 40, hold: '2s' }] } });
  await eventually('its step', async () => (((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).split.v3 ?? 0) >= 40, LATE);
  await proxy.kill();
  await restart(proxy);
  await eventually('the end of v1', () => containers() === 'v3', LATE);
  await eventually('traffic', async () => field(await proxy.send(), 'x-version') === 'v3', LATE);
  t.strictSame(engine.wrong, []);
});
