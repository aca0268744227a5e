import t from 'tap';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LineLog } from '../../src/disk/log.ts';
import { writeWhole } from '../../src/disk/whole.ts';
import { tempDir } from '../helpers/temp.ts';

t.test('what was appended is read again; a line that was cut short at any byte is as if it had not been begun', async (t) => {
  const file = join(await tempDir(t), 'new', 'log.jsonl');
  const { log, values } = LineLog.open(file, t.fail);
  t.strictSame(values, []);
  log.append({ n: 1 }, { n: 2 });
  const whole = log.size;
  log.note({ n: 'drei', text: 'ä\n' });
  log.close();
  const bytes = await readFile(file);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  for (let size = whole; size < bytes.length; size++) {
    await writeFile(file, bytes.subarray(0, size));
    const again = LineLog.open(file, t.fail);
    if (again.values.length !== 2) t.fail(`${size} bytes: ${JSON.stringify(again.values)}`);
    again.log.append('after');
    again.log.close();
    const last = LineLog.open(file, t.fail);
    if (last.values.at(-1) !== 'after') t.fail(`${size} bytes: what came after is lost`);
    last.log.close();
  }
  await writeFile(file, bytes);
  const all = LineLog.open(file, t.fail);
  t.strictSame(all.values, [{ n: 1 }, { n: 2 }, { n: 'drei', text: 'ä\n' }]);
  all.log.close();
});

t.test('a damaged line is left out and said; begun anew, only what is kept is there', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'log.jsonl');
  const first = LineLog.open(file, t.fail);
  for (const n of [1, 2, 3]) first.log.append({ n });
  first.log.close();
  await writeFile(file, (await readFile(file, 'utf8')).replace('{"n":2}', '{"n":7}'));
  const warnings: string[] = [];
  const { log, values } = LineLog.open(file, (message) => warnings.push(message));
  t.strictSame(values, [{ n: 1 }, { n: 3 }]);
  t.match(warnings, [/log\.jsonl, line 2: the line is damaged/]);
  log.replace([{ n: 3 }]);
  log.append({ n: 4 });
  log.close();
  const last = LineLog.open(file, t.fail);
  t.strictSame(last.values, [{ n: 3 }, { n: 4 }]);
  last.log.close();
  writeWhole(join(dir, 'deep', 'file.json'), '{}');
  t.equal(await readFile(join(dir, 'deep', 'file.json'), 'utf8'), '{}');
  t.strictSame((await readdir(dir)).sort(), ['deep', 'log.jsonl'], 'nothing half-done stays');
});
