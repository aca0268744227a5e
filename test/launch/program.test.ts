import t from 'tap';
import type { Test } from 'tap';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import type { Order } from '../../src/launch/driver.ts';
import { ProgramDriver } from '../../src/launch/program.ts';
import { tempDir } from '../helpers/temp.ts';

const never = new AbortController().signal;
const PROGRAM = `
import { appendFileSync, readFileSync } from 'node:fs';
const verb = process.argv.at(-1);
const input = JSON.parse(readFileSync(0, 'utf8'));
appendFileSync('calls', JSON.stringify({ verb, ...input }) + '\\n');
if (input.options.hang) setInterval(() => {}, 1000);
else if (input.options.fail) { console.error('quota exceeded'); process.exit(2); }
else if (input.options.babble) process.stdout.write('x'.repeat(400000));
else if (verb === 'start') console.log(JSON.stringify(input.options.bad ? { id: 1 } : { id: 'i-1', address: '10.0.0.7:8080' }));
else if (verb === 'status') console.log(JSON.stringify({ running: false, code: 4, output: ['a', 'b'] }));
`;

async function orderOf(t: Test, options: Record<string, unknown>): Promise<{ order: Order; calls: () => Promise<Record<string, unknown>[]> }> {
  const cwd = await tempDir(t);
  await writeFile(join(cwd, 'cloud.mjs'), PROGRAM);
  const command = [process.execPath, 'cloud.mjs'];
  const spec = resolveLaunch({ driver: 'exec', command, cwd, options, env: { A: '1' }, startTimeout: 60_000 }, null, []) as LaunchSpec;
  const order = { upstream: 'web', version: 'v2', replica: 1, mark: 'm.1', spec, port: null, told: { SWITCHYARD_VERSION: 'v2' }, output: join(cwd, '1.log') };
  const calls = async (): Promise<Record<string, unknown>[]> =>
    (await readFile(join(cwd, 'calls'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { order, calls };
}

t.test('it is told what to start, asked how it is, and told to stop', async (t) => {
  const driver = new ProgramDriver(process.env, 10);
  const { order, calls } = await orderOf(t, { zone: 'b' });
  const { handle, address } = await driver.start(order, never);
  t.strictSame([handle, address], [{ id: 'i-1' }, '10.0.0.7:8080']);
  t.strictSame(await driver.ended(order, handle, never), { code: 4, signal: null });
  t.strictSame(await driver.output(order, handle, 1), ['b']);
  await driver.stop(order, null);
  t.match(await calls(), [
    { verb: 'start', upstream: 'web', version: 'v2', replica: 1, launch: 'm.1', id: null, env: { A: '1', SWITCHYARD_VERSION: 'v2' }, options: { zone: 'b' } },
    { verb: 'status', id: 'i-1' },
    { verb: 'status', id: 'i-1' },
    { verb: 'stop', launch: 'm.1', id: null, stopTimeoutMs: 10_000 },
  ]);
});

t.test('one that fails, hangs, babbles or answers nonsense', async (t) => {
  const driver = new ProgramDriver(process.env);
  const failing = await orderOf(t, { fail: true });
  await t.rejects(driver.start(failing.order, never), { message: /exited with code 2: quota exceeded/, again: true });
  await t.rejects(driver.stop(failing.order, null), /quota exceeded/, 'not stopped, then');
  const hanging = (await orderOf(t, { hang: true })).order;
  await t.rejects(driver.start({ ...hanging, spec: { ...hanging.spec, startTimeout: 300 } }, never), /took longer than 0.3 s/);
  await t.rejects(driver.start((await orderOf(t, { babble: true })).order, never), /more than 256 KiB/);
  await t.rejects(driver.start((await orderOf(t, { bad: true })).order, never), { message: /did not answer \{id, address\}/, again: false });
});
