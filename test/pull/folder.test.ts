import t from 'tap';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadFolder, watchFolder } from '../../src/pull/folder.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

t.test('the files of a folder are one configuration; what two of them have is refused with both names', async (t) => {
  const dir = await tempDir(t);
  await t.rejects(loadFolder(dir), { message: /there is no configuration in it/ });
  await writeFile(join(dir, 'a.json'), JSON.stringify({ timeouts: { body: '5s' }, upstreams: { web: { routes: [{}] } } }));
  await writeFile(join(dir, 'b.json'), JSON.stringify({ upstreams: { api: { routes: [{ path: '/api' }] } } }));
  await writeFile(join(dir, '_c.json'), 'not read');
  const config = await loadFolder(dir);
  t.strictSame([...config.upstreams.keys()], ['web', 'api']);
  t.equal(config.edge.timeouts.body, 5000);
  await writeFile(join(dir, 'd.json'), JSON.stringify({ timeouts: {}, upstreams: { web: { routes: [{ path: '/x' }] } } }));
  await t.rejects(loadFolder(dir), {
    errors: [
      { path: 'timeouts', message: 'expected it in one file, got it in a.json and in d.json' },
      { path: 'upstreams.web', message: 'expected it in one file, got it in a.json and in d.json' },
    ],
  });
});

const upstream = (name: string): string => JSON.stringify({ upstreams: { [name]: { routes: [{ path: `/${name}` }] } } });
/** A module that does something to the folder while it is read. */
const acting = (name: string, act: string): string =>
  `import { existsSync, renameSync, rmSync } from 'node:fs';\nconst at = (name) => new URL(name, import.meta.url);\n${act}\nexport default ${upstream(name)};`;

t.test('a file that vanishes, or gets another name, while the folder is read: what is there then counts', async (t) => {
  const dir = await tempDir(t);
  await writeFile(join(dir, '20-b.json'), upstream('b'));
  await writeFile(join(dir, '30-c.json'), upstream('c'));
  await writeFile(join(dir, '10-a.mjs'), acting('a', `rmSync(at('20-b.json'), { force: true });`));
  t.strictSame([...(await loadFolder(dir)).upstreams.keys()], ['a', 'c']);
  await writeFile(join(dir, '10-a.mjs'), acting('a', `if (existsSync(at('30-c.json'))) renameSync(at('30-c.json'), at('40-c.json'));`));
  t.strictSame([...(await loadFolder(dir)).upstreams.keys()], ['a', 'c']);
  const ever = `const [from, to] = existsSync(at('40-c.json')) ? ['40-c.json', '50-c.json'] : ['50-c.json', '40-c.json'];\nrenameSync(at(from), at(to));`;
  await writeFile(join(dir, '10-a.mjs'), acting('a', ever));
  await t.rejects(loadFolder(dir), { message: /c\.json: there is no such file/ }, 'but a folder that never rests is not read for ever');
});

t.test('what is wrong is said with the file that it is in', async (t) => {
  const dir = await tempDir(t);
  await writeFile(join(dir, 'a.json'), upstream('a'));
  await writeFile(join(dir, 'b.json'), JSON.stringify({ timeouts: { body: 'soon' } }));
  await t.rejects(loadFolder(dir), { message: /^b\.json: timeouts\.body: expected a duration/ });
  await writeFile(
    join(dir, 'b.json'),
    JSON.stringify({ upstreams: { 'b.c': { routes: [{}], limits: { body: -1 } }, b: { routes: [{}], limits: { body: -1 } } } }),
  );
  await t.rejects(loadFolder(dir), { message: /^b\.json: upstreams\.b/ });
  for (const content of ['[]', '5', '"text"']) {
    await writeFile(join(dir, 'b.json'), content);
    await t.rejects(loadFolder(dir), { message: /b\.json: expected an object with fields of the configuration$/ }, content);
  }
  await writeFile(join(dir, 'b.json'), '');
  await t.rejects(loadFolder(dir), { message: /b\.json: it is not valid JSON/ });
});

t.test('a folder that never rests is read all the same, and one that takes its place is followed', async (t) => {
  const dir = await tempDir(t);
  const path = join(dir, 'conf');
  const next = join(dir, 'next');
  for (const folder of [path, next]) await mkdir(folder);
  let heard = 0;
  const watch = watchFolder(
    path,
    () => heard++,
    (error) => t.fail(error.message),
  );
  t.teardown(() => watch.close());
  let busy = true;
  const restless = (async (): Promise<void> => {
    for (let n = 0; busy; n++) {
      await writeFile(join(path, 'a.json'), String(n));
      await sleep(20);
    }
  })();
  await eventually('a look in between', () => heard > 0);
  busy = false;
  await restless;
  await rename(path, join(dir, 'last'));
  await rename(next, path);
  // Between two looks nothing is known of it: what counts is that a change in it is heard some time.
  const before = heard;
  await eventually('a change in the new folder', async () => {
    await writeFile(join(path, 'b.json'), String(Math.random()));
    await sleep(400);
    return heard > before + 1;
  });
});

t.test('a folder that cannot be looked at is told once, and followed again when it can', async (t) => {
  const dir = await tempDir(t);
  const path = join(dir, 'conf');
  await mkdir(path);
  let heard = 0;
  const told: string[] = [];
  const watch = watchFolder(
    path,
    () => heard++,
    (error) => told.push(error.message),
  );
  t.teardown(() => watch.close());
  await rename(path, join(dir, 'last'));
  await symlink(path, path);
  await eventually('that it is told', () => told.length > 0);
  t.match(told, [/ELOOP/]);
  await rm(path);
  await mkdir(path);
  await eventually('a look at the new folder', () => heard > 0);
  t.equal(told.length, 1);
});
