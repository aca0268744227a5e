import t from 'tap';
import type { Test } from 'tap';
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import type { Order } from '../../src/launch/driver.ts';
import { ProcessDriver } from '../../src/launch/process.ts';
import { identify, isAlive } from '../../src/launch/_proc.ts';
import { OUTPUT_BYTES, rotate, tail } from '../../src/launch/_output.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const never = new AbortController().signal;
// What is launched does not keep the proxy from ending; here somebody has to wait for it.
const awake = setInterval(() => undefined, 1_000);
t.teardown(() => clearInterval(awake));

async function orderOf(t: Test, script: string, more: Partial<LaunchSpec> = {}): Promise<Order> {
  const dir = await tempDir(t);
  const spec = resolveLaunch({ command: [process.execPath, '-e', script] }, null, []) as LaunchSpec;
  const mark = `test-${process.pid}-${Math.random()}.1`;
  return {
    upstream: 'web',
    version: 'v1',
    replica: 1,
    mark,
    spec: { ...spec, stopTimeout: 300, ...more },
    port: null,
    told: {},
    output: join(dir, 'out', '1.log'),
  };
}

t.test('one that ignores SIGTERM, and all that it has started, is gone after the deadline', async (t) => {
  const child = `require('node:child_process').spawn(process.execPath, ['-e', "process.on('SIGTERM', () => {}); console.log('child'); setInterval(() => {}, 1e3)"]`;
  const script = `process.on('SIGTERM', () => console.log('no'));
    ${child}, { stdio: 'inherit' }); ${child}, { stdio: 'inherit', detached: true }); console.log('up'); setInterval(() => {}, 1e3)`;
  // Long enough for what it says when it is asked.
  const order = await orderOf(t, script, { stopTimeout: 2_000 });
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  await eventually('three processes', () => tail(order.output, 10).filter((line) => line === 'child').length === 2, 30_000);
  const pid = Number(handle.pid);
  await driver.stop(order, handle);
  t.equal(identify(pid), null);
  t.ok(tail(order.output, 10).includes('no'), 'it was asked first');
  t.strictSame(await driver.ended(order, handle, never).then(({ signal, code }) => signal ?? code), null, 'how it ended is forgotten with it');
});

t.test('one whose handle nobody knows is found by its mark', async (t) => {
  const order = await orderOf(t, 'setInterval(() => {}, 1e3)');
  const { handle } = await new ProcessDriver(process.env).start(order);
  await new ProcessDriver({}).stop(order, null);
  t.equal(identify(Number(handle.pid)), null);
});

t.test('an innocent process that has come by the id is left alone', async (t) => {
  const innocent = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e3)'], { detached: true, stdio: 'ignore' });
  t.teardown(() => innocent.kill('SIGKILL'));
  const identity = identify(innocent.pid ?? 0);
  t.ok(identity);
  const order = await orderOf(t, '');
  for (const change of [{ start: '1' }, { boot: 'another' }]) {
    const handle = { ...identity, ...change } as Record<string, string | number>;
    t.strictSame(await new ProcessDriver({}).ended(order, handle, never), { code: null, signal: null });
    await new ProcessDriver({}).stop(order, handle);
  }
  await sleep(50);
  t.ok(identity !== null && isAlive(identity));
});

t.test('how it ended, with the proxy that started it and with another', async (t) => {
  const order = await orderOf(t, 'setTimeout(() => process.exit(7), 100)');
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  const other = new ProcessDriver({}).ended(order, handle, never);
  t.strictSame(await driver.ended(order, handle, never), { code: 7, signal: null });
  t.strictSame(await other, { code: null, signal: null });
});

t.test('what cannot be started says why, and whether it is of use to try again', async (t) => {
  const driver = new ProcessDriver({});
  await t.rejects(driver.start(await orderOf(t, '', { command: ['no-such-program-here'] })), { message: /there is no such program/, again: false });
  await t.rejects(driver.start(await orderOf(t, '', { cwd: '/no/such/folder' })), { message: /there is no folder/, again: false });
});

t.test('the environment is its own, without what is Switchyard’s', async (t) => {
  // The runner of the tests puts things of its own into the environment of each child, too long for one line.
  const script = `console.log(JSON.stringify(Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(A|B|PORT|SWITCHYARD_.*)$/.test(name)))))`;
  const order = { ...(await orderOf(t, script, { env: { B: '2' } })), port: 4711, told: { SWITCHYARD_VERSION: 'v1' } };
  const driver = new ProcessDriver({ A: '1', SWITCHYARD_ADMIN_TOKEN: 'secret', SWITCHYARD_VERSION: 'of the proxy' });
  const { handle } = await driver.start(order);
  await driver.ended(order, handle, never);
  const env = JSON.parse(tail(order.output, 1)[0]) as Record<string, string>;
  t.match(env, { A: '1', B: '2', PORT: '4711', SWITCHYARD_VERSION: 'v1', SWITCHYARD_LAUNCH: order.mark });
  t.notOk('SWITCHYARD_ADMIN_TOKEN' in env);
});

t.test('a flood of output is bounded, and goes on after its file was begun anew', async (t) => {
  const order = await orderOf(t, `for (let i = 0; i < 40000; i++) console.log(String(i).padStart(100, '.')); setInterval(() => console.log('later'), 100)`);
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  t.teardown(() => driver.stop(order, handle));
  await eventually('the flood', () => tail(order.output, 1)[0] === 'later', 60_000);
  rotate(order.output);
  t.ok(statSync(order.output).size < OUTPUT_BYTES);
  t.equal(statSync(`${order.output}.1`).size, OUTPUT_BYTES);
  await eventually('more', () => readFileSync(order.output, 'utf8').startsWith('later'), 20_000);
  t.match(tail(order.output, 200).join('\n'), /39999\nlater/, 'what was before is still told');
});
