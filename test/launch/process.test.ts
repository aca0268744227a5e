import t from 'tap';
import type { Test } from 'tap';
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import type { Order } from '../../src/launch/driver.ts';
import { ProcessDriver } from '../../src/launch/process.ts';
import { identify, isAlive } from '../../src/launch/_proc.ts';
import { keepers } from '../../src/launch/_keeper.ts';
import { boundsOf, SEGMENT_BYTES, SEGMENTS, segmentsOf, tail } from '../../src/launch/_segments.ts';
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
  let asked = false;
  // A second time with more time to say that it is asked, where the first was not enough.
  for (const stopTimeout of [2_000, 30_000]) {
    if (asked) break;
    const order = await orderOf(t, script, { stopTimeout });
    const driver = new ProcessDriver(process.env);
    const { handle } = await driver.start(order);
    await eventually('three processes', () => tail(order.output, 10).filter((line) => /^(child|up)$/.test(line)).length === 3, 30_000);
    await driver.stop(order, handle);
    t.equal(identify(Number(handle.pid)), null);
    asked = tail(order.output, 10).includes('no');
    t.strictSame(await driver.ended(order, handle, never).then(({ signal, code }) => signal ?? code), null, 'how it ended is forgotten with it');
  }
  t.ok(asked, 'it was asked first');
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

const LATE = 60_000;
const FLOOD = `for (let i = 0; i < 60000; i++) console.log(String(i).padStart(100, '.')); setInterval(() => console.log('later'), 20)`;

t.test('a flood of output is bounded in its files, whoever is there', async (t) => {
  const order = await orderOf(t, FLOOD);
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  t.teardown(() => driver.stop(order, handle));
  // As if the proxy were gone: nobody but the keeper looks after it.
  driver.close();
  await eventually('the flood', () => tail(order.output, 1)[0] === 'later', LATE);
  const segments = await eventually(
    'the files',
    () => {
      const all = segmentsOf(order.output);
      return all.length === SEGMENTS ? all : null;
    },
    LATE,
  );
  t.ok(segments.every(({ size }) => size < 2 * SEGMENT_BYTES));
  t.ok(segments.slice(0, -1).every(({ size }) => size >= SEGMENT_BYTES));
  t.ok(boundsOf(order.output).to > 6e6, 'the offset tells how much there was');
  t.match(tail(order.output, 10_000).join('\n'), /59998\n\.+59999\nlater/, 'nothing is lost in between');
});

t.test('another proxy reads on, in memory too, and follows from where the first was', async (t) => {
  const order = await orderOf(t, `let i = 0; setInterval(() => console.log('line ' + i++), 5)`);
  const first = new ProcessDriver(process.env);
  const { handle } = await first.start(order);
  await eventually('lines', async () => (await first.output(order, handle, 5)).length === 5, LATE);
  const seen = await first.follow(order, 0);
  first.close();
  const second = new ProcessDriver(process.env);
  const stop = new AbortController();
  second.ended(order, handle, stop.signal).catch(() => undefined);
  const more = await eventually(
    'more',
    async () => {
      const next = await second.follow(order, seen.at);
      return next.lines.length > 5 ? next : null;
    },
    LATE,
  );
  t.equal(more.missed, 0);
  t.strictSame(
    [...seen.lines, ...more.lines],
    Array.from({ length: seen.lines.length + more.lines.length }, (_, i) => `line ${i}`),
  );
  t.ok(second.lastWords(order, 3).length > 0);
  stop.abort();
  await second.stop(order, handle);
  t.strictSame(await second.output(order, null, 1), tail(order.output, 1), 'and when it has ended, from disk');
});

t.test('a keeper ends with its process; one that is killed is started again, and nobody is ended by it', async (t) => {
  const order = await orderOf(t, `let i = 0; setInterval(() => process.stdout.write('line ' + i++ + '\\n'), 5)`);
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  const own = () => keepers().get(order.mark) ?? null;
  const keeper = own();
  t.ok(keeper !== null && keeper.pid !== handle.pid);
  process.kill(-(keeper?.pid ?? 0), 'SIGKILL');
  const at = boundsOf(order.output).to;
  await eventually('another', () => own() !== null && own()?.pid !== keeper?.pid, LATE);
  await eventually('more lines', () => boundsOf(order.output).to > at + 100, LATE);
  t.ok(identify(Number(handle.pid)), 'it prints on');
  // Files that somebody has taken away are begun again.
  for (const { path } of segmentsOf(order.output)) rmSync(path);
  await driver.stop(order, handle);
  await eventually('its end', () => own() === null, LATE);
});

t.test('the end of what a program prints is there when its end is told, however short its life', async (t) => {
  const order = await orderOf(t, `process.stdout.write('a\\nfirst'); process.stderr.write(' and last'); process.exit(3)`);
  const driver = new ProcessDriver(process.env);
  for (let life = 1; life <= 3; life++) {
    const { handle } = await driver.start(order);
    t.strictSame(await driver.ended(order, handle, never), { code: 3, signal: null });
    t.equal((await driver.output(order, handle, 10)).filter((line) => line === 'first and last').length, life);
    await driver.stop(order, handle);
  }
  t.equal(segmentsOf(order.output).length, 1, 'short lives share a file');
});

t.test('a keeper that is slow is waited for when nobody can print any more', async (t) => {
  const order = await orderOf(t, `setTimeout(() => console.log('last'), 500)`);
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  const keeper = keepers().get(order.mark)?.pid ?? 0;
  process.kill(-keeper, 'SIGSTOP');
  const told = driver.ended(order, handle, never).then(() => driver.output(order, handle, 1));
  await eventually('the end of the program', () => identify(Number(handle.pid)) === null, LATE);
  await sleep(1_000);
  process.kill(-keeper, 'SIGCONT');
  t.strictSame(await told, ['last']);
  await driver.stop(order, handle);
});

t.test('what it inherits is a pipe that can be opened by its name', async (t) => {
  const order = await orderOf(t, '', { command: ['/bin/sh', '-c', 'echo one; echo two >/dev/stderr; echo three >/proc/self/fd/1; printf four'] });
  const driver = new ProcessDriver(process.env);
  const { handle } = await driver.start(order);
  await driver.ended(order, handle, never);
  t.strictSame(await driver.output(order, handle, 10), ['one', 'two', 'three', 'four']);
  await driver.stop(order, handle);
});
