import t from 'tap';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadFolder } from '../../src/pull/folder.ts';
import { tempDir } from '../helpers/temp.ts';

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
