import t from 'tap';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { History } from '../../src/history/history.ts';
import { NodeProcess } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const MODULE = new URL('../../src/history/history.ts', import.meta.url).href;

/** Records one change after the other, each with a document of its own, and prints the number of each that is on disk. */
const WRITER = `
  import { History } from ${JSON.stringify(MODULE)};
  const history = new History(process.argv[1], (message) => process.stderr.write(message));
  for (;;) {
    const n = (history.list({ limit: 1 })[0]?.id ?? 0) + 1;
    const { id } = history.record(
      { by: 'ann', via: 'api', kind: 'config', upstream: null, summary: 'applied', changes: [{ path: 'upstreams.web.n', to: n }] },
      new Map([['web', { n, filler: 'x'.repeat(2_000) }]]),
    );
    process.stdout.write(id + '\\n');
    await new Promise((resolve) => setImmediate(resolve));
  }`;

t.test('killed at any moment, also while the file is begun anew: what was said to be recorded is there, whole, with its documents', async (t) => {
  const dir = await tempDir(t);
  const first = new History(dir, t.fail);
  // Close to where the oldest are dropped, so that some of the kills meet that.
  for (let n = 1; n <= 1_090; n++) first.record({ by: 'ann', via: 'api', kind: 'hold', upstream: 'web', summary: 'held', changes: [] });
  first.close();
  let last = 1_090;
  for (const more of [1, 4, 7, 10, 13, 30]) {
    const writer = new NodeProcess(['--input-type=module', '-e', WRITER, dir]);
    t.teardown(() => writer.stop('SIGKILL'));
    await eventually(`${more} changes`, () => writer.stdout.split('\n').length > more || !writer.running);
    await writer.stop('SIGKILL');
    t.equal(writer.stderr, '', 'nothing is damaged');
    const said = writer.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
    const history = new History(dir, t.fail);
    const kept = history.list({ limit: 5_000 });
    const [newest] = kept;
    t.equal(said[0], last + 1, 'it goes on where it was');
    t.ok(newest.id === said.at(-1) || newest.id === said.at(-1)! + 1, `${newest.id} is the last, and ${said.at(-1)} was said`);
    t.ok(
      kept.every(({ id }, i) => id === newest.id - i),
      'none is missing',
    );
    for (const id of said) t.match(history.documents(id).get('web'), { n: id });
    t.ok(kept.length >= 1_000 && kept.length <= 1_100);
    last = newest.id;
    history.close();
  }
  t.ok(last > 1_100 + 10, 'the oldest were dropped meanwhile');
  const history = new History(dir, t.fail);
  for (let n = 0; n <= 100; n++) history.record({ by: 'ann', via: 'api', kind: 'hold', upstream: 'web', summary: 'held', changes: [] });
  history.close();
  const drafts = (await readdir(join(dir, 'history'))).filter((name) => name.endsWith('.tmp'));
  t.strictSame(drafts, [], 'what the kills have left half-written goes with the oldest');
});
