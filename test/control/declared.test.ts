import t from 'tap';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Declared } from '../../src/control/declared.ts';
import { tempDir } from '../helpers/temp.ts';

t.test('what is declared is on disk when the call returns', async (t) => {
  const dir = join(await tempDir(t), 'state');
  const declared = new Declared(dir);
  t.strictSame(declared.entries(), []);
  declared.put('api', { routes: [{ path: '/api' }] });
  declared.put('web', { routes: [] });
  declared.remove('web');
  declared.remove('never-there');
  t.equal(declared.has('web'), false);
  t.strictSame(new Declared(dir).entries(), [['api', { routes: [{ path: '/api' }] }]]);
  t.strictSame(JSON.parse(await readFile(join(dir, 'declared.json'), 'utf8')), { api: { routes: [{ path: '/api' }] } });
});

t.test('what was half written beside it does no harm; a damaged file is refused by name', async (t) => {
  const dir = await tempDir(t);
  new Declared(dir).put('api', 1);
  await writeFile(join(dir, 'declared.json.tmp'), '{"ap');
  t.strictSame(new Declared(dir).entries(), [['api', 1]]);
  await writeFile(join(dir, 'declared.json'), '{"ap');
  t.throws(() => new Declared(dir), { message: `${join(dir, 'declared.json')} is damaged: it is not valid JSON.` });
});
