import t from 'tap';
import type { Test } from 'tap';
import { join } from 'node:path';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import { DockerDriver } from '../../src/launch/containers.ts';
import type { Driver, Order } from '../../src/launch/driver.ts';
import { DockerEngine } from '../helpers/docker_engine.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const LATE = 60_000;

const never = new AbortController().signal;

async function orderOf(t: Test, engine: DockerEngine, more: Partial<LaunchSpec> = {}): Promise<Order> {
  const spec = resolveLaunch({ driver: 'docker', image: 'web:v2', env: { B: '2' }, socket: engine.socket, stopTimeout: 3_000 }, null, []) as LaunchSpec;
  const told = { SWITCHYARD_VERSION: 'v2' };
  const output = join(await tempDir(t), '1.log');
  return { upstream: 'web', version: 'v2', replica: 1, mark: 'abcdefgh-1.1', spec: { ...spec, ...more }, port: 20_001, told, output };
}

t.test('a container is pulled, created, started, awaited, stopped and removed', async (t) => {
  const engine = await DockerEngine.start(t);
  const order = await orderOf(t, engine);
  const driver: Driver = new DockerDriver();
  const { handle, address } = await driver.start(order, never);
  t.equal(address, null, 'the port of the order, on loopback');
  t.strictSame(engine.pulled, ['web:v2']);
  const [container] = engine.containers;
  t.equal(handle.id, container.id);
  t.match(container.body, {
    Image: 'web:v2',
    Env: ['B=2', 'SWITCHYARD_VERSION=v2', 'PORT=8080'],
    HostConfig: { Init: true, PortBindings: { '8080/tcp': [{ HostIp: '127.0.0.1', HostPort: '20001' }] }, RestartPolicy: { Name: 'no' } },
  });
  t.notOk('Cmd' in container.body, 'the image’s own');
  t.strictSame(await driver.output(order, handle, 10), ['hello', 'oh no']);
  const ended = driver.ended(order, handle, never);
  await driver.stop(order, null);
  t.strictSame(await ended, { code: 137, signal: null });
  t.strictSame(engine.containers, []);
  t.strictSame(engine.stops, ['3']);
  t.strictSame(await driver.output(order, null, 1), ['oh no'], 'what it has said is kept');
  t.strictSame(await driver.ended(order, handle, never), { code: null, signal: null });
  await driver.start(order, never);
  t.equal(engine.pulled.length, 1, 'it is there');
  await driver.stop(order, null);
  t.strictSame(engine.wrong, []);
});

t.test('in a network of its own it is reached at its own address', async (t) => {
  const engine = await DockerEngine.start(t);
  const order = { ...(await orderOf(t, engine, { network: 'apps', port: 9000 })), port: null };
  t.equal((await new DockerDriver().start(order, never)).address, '10.1.2.3:9000');
  t.match(engine.containers[0].body, { HostConfig: { NetworkMode: 'apps', PortBindings: undefined } });
});

t.test('what goes wrong is said in the words of the engine', async (t) => {
  const engine = await DockerEngine.start(t);
  const driver: Driver = new DockerDriver();
  await t.rejects(driver.start(await orderOf(t, engine, { image: 'missing' }), never), { message: /manifest unknown/, again: false });
  await t.rejects(driver.start(await orderOf(t, engine, { pull: 'never' }), never), { message: /No such image/, again: false });
  engine.startFails = 'driver failed programming external connectivity: port is already allocated';
  await t.rejects(driver.start(await orderOf(t, engine), never), { message: /port is already allocated/, again: true });
  const order = await orderOf(t, engine);
  await driver.stop(order, null);
  t.strictSame(engine.containers, [], 'one that could not be started is removed');
  await t.rejects(driver.start(await orderOf(t, engine, { socket: '/no/such.sock' }), never), { message: /cannot be reached: ENOENT/, again: true });
});

t.test('an engine that is started again meanwhile is waited for, and asked again', async (t) => {
  const engine = await DockerEngine.start(t);
  const order = await orderOf(t, engine, { image: 'localhost:5000/team/web:v2' });
  const driver: Driver = new DockerDriver();
  const { handle } = await driver.start(order, never);
  t.strictSame(engine.pulled, ['localhost:5000/team/web:v2']);
  const [container] = engine.containers;
  const ended = driver.ended(order, handle, never);
  await eventually('the wait', () => container.waiting.length === 1, LATE);
  engine.goAway();
  await t.rejects(driver.stop(order, handle), { message: /cannot be reached/ });
  engine.exit(container, 5);
  engine.isAway = false;
  t.strictSame(await ended, { code: 5, signal: null }, 'how it ended is known all the same');
  await driver.stop(order, handle);
  t.strictSame(engine.containers, []);
});

t.test('one that somebody has removed has ended', async (t) => {
  const engine = await DockerEngine.start(t);
  const order = await orderOf(t, engine);
  const driver: Driver = new DockerDriver();
  const { handle } = await driver.start(order, never);
  engine.containers.length = 0;
  t.strictSame(await driver.ended(order, handle, never), { code: null, signal: null });
  await driver.stop(order, handle);
  t.strictSame(engine.wrong, []);
});
