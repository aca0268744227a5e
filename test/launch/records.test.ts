import t from 'tap';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { segmentPath } from '../../src/launch/_segments.ts';
import { LaunchRecords } from '../../src/launch/records.ts';
import { tempDir } from '../helpers/temp.ts';

t.test('the last words of what has ended are followed, also without the end of a line', async (t) => {
  const records = new LaunchRecords(await tempDir(t));
  const path = segmentPath(records.outputOf('web', 'v1', 1), 0);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'up\nfatal: no');
  t.strictSame(records.outputSince('web', 'v1', 1, 0), { lines: ['up', 'fatal: no'], at: 12, missed: 0 });
  t.strictSame(records.outputSince('web', 'v1', 1, 3), { lines: ['fatal: no'], at: 12, missed: 0 });
  t.strictSame(records.outputSince('web', 'v1', 1, 12), { lines: [], at: 12, missed: 0 });
});
