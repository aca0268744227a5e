import t from 'tap';
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OutputRing } from '../../src/launch/_ring.ts';
import { SEGMENT_BYTES, segmentPath } from '../../src/launch/_segments.ts';
import { tempDir } from '../helpers/temp.ts';

t.test('output in memory goes on with its files: one that grows, the next one, and those of a new beginning', async (t) => {
  const base = join(await tempDir(t), 'web@v1', '1.log');
  const ring = new OutputRing(base);
  const last = (): string | undefined => {
    ring.pump();
    return ring.last(1).at(0);
  };
  t.equal(last(), undefined);
  mkdirSync(dirname(base));
  writeFileSync(segmentPath(base, 0), '');
  t.equal(last(), undefined);
  for (const line of ['one', 'two']) {
    appendFileSync(segmentPath(base, 0), `${line}\n`);
    t.equal(last(), line);
    t.equal(last(), line);
  }
  appendFileSync(segmentPath(base, 0), `${'.'.repeat(SEGMENT_BYTES)}\nfull\n`);
  t.equal(last(), 'full');
  const next = segmentPath(base, SEGMENT_BYTES + 14);
  writeFileSync(next, 'three\n');
  t.equal(last(), 'three');
  appendFileSync(next, 'four\n');
  t.equal(last(), 'four');
  rmSync(dirname(base), { recursive: true });
  mkdirSync(dirname(base));
  writeFileSync(segmentPath(base, 0), 'anew\n');
  t.equal(last(), 'anew');
});
