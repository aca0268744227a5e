import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { watchConfig } from '../../src/config/watch.ts';
import { Refusal } from '../../src/errors/catalogue.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

async function refusalOf(path: string): Promise<Refusal> {
  const error: unknown = await loadConfig(path).catch((reason: unknown) => reason);
  if (error instanceof Refusal && error.fault.code === 'invalid') return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}

t.test('the same configuration as TypeScript, JavaScript and JSON', async (t) => {
  const dir = await tempDir(t);
  const body = { listeners: [{ host: '127.0.0.1', port: 8099 }], stateDir: 'state' };
  await writeFile(join(dir, 'a.json'), JSON.stringify(body));
  await writeFile(join(dir, 'b.mjs'), `export default ${JSON.stringify(body)};`);
  await writeFile(
    join(dir, 'c.ts'),
    `const port: number = 8099;\nexport default { listeners: [{ host: '127.0.0.1', port }], stateDir: 'state' } satisfies object;`,
  );
  for (const name of ['a.json', 'b.mjs', 'c.ts']) {
    const config = await loadConfig(join(dir, name));
    t.match(config.listeners, body.listeners, name);
    t.equal(config.stateDir, join(dir, 'state'), 'relative to the file');
    t.ok(config.dataThreads >= 1, 'auto is a number');
  }
});

t.test('the bundled configuration is valid', async (t) => {
  const config = await loadConfig(new URL('../../proxy.config.ts', import.meta.url).pathname);
  t.equal(config.upstreams.get('web')?.live, 'v1');
  t.equal(config.upstreams.get('web')?.versions.length, 2);
});

t.test('a module is read anew each time', async (t) => {
  const file = join(await tempDir(t), 'proxy.config.ts');
  for (const port of [8001, 8002, 8003]) {
    await writeFile(file, `export default { listeners: [{ port: ${port} }] };`);
    t.equal((await loadConfig(file)).listeners[0].port, port);
  }
});

t.test('what cannot be read is refused in one sentence that names the file', async (t) => {
  const dir = await tempDir(t);
  const cases: readonly (readonly [string, string | null, RegExp])[] = [
    ['none.ts', null, /none\.ts: there is no such file$/],
    ['broken.json', '{ "listeners": ', /broken\.json: it is not valid JSON: /],
    ['broken.ts', 'export default {', /broken\.ts: it cannot be evaluated: /],
    ['throws.mjs', 'throw new Error("no database\\nat line 1");', /throws\.mjs: it cannot be evaluated: no database$/],
    ['nothing.mjs', 'export const config = {};', /nothing\.mjs: it has no default export; expected `export default defineConfig\(\{…\}\)`$/],
    ['config.yaml', 'a: 1', /config\.yaml: expected a name that ends in \.ts, \.mts, \.js, \.mjs or \.json$/],
    ['wrong.json', '{"dataThreads": "many"}', /^wrong\.json: dataThreads: expected 'auto' or a whole number from 1 to 256, got 'many'$/],
  ];
  for (const [name, content, message] of cases) {
    if (content !== null) await writeFile(join(dir, name), content);
    t.match((await refusalOf(join(dir, name))).message, message, name);
  }
  t.match((await refusalOf(dir)).message, /it is not a file$/);
  t.strictSame(
    (await refusalOf(join(dir, 'wrong.json'))).errors.map(({ path }) => path),
    ['dataThreads'],
  );
});

async function watched(t: Tap, file: string): Promise<{ calls: () => number }> {
  let calls = 0;
  const watch = await watchConfig(
    file,
    () => calls++,
    (error) => t.fail(error.message),
  );
  t.teardown(() => watch.close());
  return { calls: () => calls };
}
type Tap = { teardown(run: () => unknown): void; fail(message: string): void };

t.test('a change is told once, however it is written', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'proxy.config.json');
  await writeFile(file, '1');
  const { calls } = await watched(t, file);
  // At once: what is written a quarter of a second later is another change.
  for (const text of ['2', '22', '222']) writeFileSync(file, text);
  await eventually('the change in place', () => calls() === 1);
  await writeFile(join(dir, 'new'), '3');
  await rename(join(dir, 'new'), file);
  await eventually('the replaced file', () => calls() === 2);
  rmSync(file);
  writeFileSync(file, '4');
  await eventually('the file that was gone for a moment', () => calls() === 3);
  await writeFile(file, '4');
  await writeFile(join(dir, 'other'), 'x');
  await sleep(300);
  t.equal(calls(), 3, 'the same content and other files are no change');
});

t.test('a link that leads elsewhere is a change', async (t) => {
  const dir = await tempDir(t);
  for (const version of ['one', 'two']) {
    await mkdir(join(dir, version));
    await writeFile(join(dir, version, 'proxy.config.json'), version);
  }
  await symlink('one', join(dir, '..data'));
  await symlink('..data/proxy.config.json', join(dir, 'proxy.config.json'));
  const { calls } = await watched(t, join(dir, 'proxy.config.json'));
  await symlink('two', join(dir, '..next'));
  await rename(join(dir, '..next'), join(dir, '..data'));
  await eventually('the change of the link', () => calls() === 1);
});

t.test('a watch does not keep the process alive, and is silent once closed', async (t) => {
  const file = join(await tempDir(t), 'proxy.config.json');
  await writeFile(file, '1');
  let calls = 0;
  const watch = await watchConfig(
    file,
    () => calls++,
    () => undefined,
  );
  writeFileSync(file, '2');
  watch.close();
  await sleep(250);
  t.equal(calls, 0);
  const module = new URL('../../src/config/watch.ts', import.meta.url).href;
  const script = `const { watchConfig } = await import(${JSON.stringify(module)}); await watchConfig(process.argv[1], () => {}, () => {});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, file]);
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(timer);
  t.equal(code, 0);
});
