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

t.test('output is of one launch, and nothing of the launch before is left', async (t) => {
  const records = new LaunchRecords(await tempDir(t));
  t.equal(records.outputLaunch('web', 'v1'), null);
  records.beginOutput('web', 'v1', 'first');
  writeFileSync(segmentPath(records.outputOf('web', 'v1', 1), 0), 'up\n');
  t.equal(records.outputLaunch('web', 'v1'), 'first');
  t.strictSame(records.replicasWithOutput('web', 'v1'), [1]);
  records.beginOutput('web', 'v1', 'second');
  t.equal(records.outputLaunch('web', 'v1'), 'second');
  t.strictSame(records.replicasWithOutput('web', 'v1'), []);
});
