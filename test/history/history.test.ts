import t from 'tap';
import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LineLog } from '../../src/disk/log.ts';
import { History } from '../../src/history/history.ts';
import { tempDir } from '../helpers/temp.ts';

const BASE = { by: 'ann', via: 'api', kind: 'config', upstream: null, summary: 'applied' } as const;

function at(n: number): { path: string; from: number; to: number }[] {
  return [{ path: 'upstreams.web.limits.body', from: n - 1, to: n }];
}

t.test('what was recorded is there after a restart, with the documents as they were', async (t) => {
  const dir = await tempDir(t);
  const first = new History(dir, t.fail);
  const web = { routes: [{}], tls: { key: 'very secret' } };
  first.record(
    { ...BASE, changes: at(1), facts: undefined },
    new Map<string, unknown>([
      ['', { timeouts: {} }],
      ['web', web],
    ]),
  );
  first.record({ ...BASE, kind: 'split', upstream: 'web', changes: [], facts: { weights: { v1: 100 } } });
  first.record(
    { ...BASE, changes: [{ path: 'upstreams.api', to: {} }] },
    new Map<string, unknown>([
      ['web', web],
      ['api', { routes: [] }],
    ]),
  );
  first.close();
  const again = new History(dir, t.fail);
  t.equal(again.revision, 3);
  t.equal(again.configBefore()?.id, 1);
  t.strictSame(
    again.documents(1),
    new Map<string, unknown>([
      ['', { timeouts: {} }],
      ['web', web],
    ]),
  );
  t.throws(() => again.documents(2), /Change 2 is not one of the configuration/);
  t.throws(() => again.get(9), /There is no change 9; 1 to 3 are remembered/);
  t.strictSame(
    again.list({ limit: 10, upstream: 'web' }).map(({ id }) => id),
    [2, 1],
  );
  t.strictSame(
    again.list({ limit: 1, before: 3 }).map(({ id }) => id),
    [2],
  );
  t.equal(again.lastChangeOf('upstreams.web.limits.body')?.id, 1);
  t.equal(again.lastChangeOf('upstreams.api.routes[0]')?.id, 3, 'what it is in');
  t.equal(again.lastChangeOf('upstreams.web2')?.id, undefined);
  t.strictSame(first.key, again.key);
  const folder = join(dir, 'history');
  t.equal((await stat(folder)).mode & 0o777, 0o700);
  for (const file of await readdir(folder)) t.equal((await stat(join(folder, file))).mode & 0o777, 0o600, file);
  t.notMatch(await readFile(join(folder, 'log.jsonl'), 'utf8'), /very secret/);
  const blob = (await readdir(folder)).find((file) => /^[0-9a-f]{64}/.test(file));
  for (const file of await readdir(folder)) if (file.length > 60) await rm(join(folder, file));
  t.throws(() => again.documents(1), /cannot be read any more/, String(blob));
});

t.test('the last thousand are kept, and only the documents that they need', async (t) => {
  const dir = await tempDir(t);
  const history = new History(dir, t.fail);
  for (let n = 1; n <= 1_101; n++) {
    const documents = n % 100 === 1 ? new Map([['web', { n }]]) : undefined;
    history.record({ ...BASE, kind: documents === undefined ? 'hold' : 'config', changes: at(n) }, documents);
  }
  const kept = history.list({ limit: 5_000 });
  t.strictSame([kept.length, kept[0].id, kept.at(-1)?.id], [1_000, 1_101, 102]);
  const blobs = (await readdir(join(dir, 'history'))).filter((file) => /^[0-9a-f]{64}\.json$/.test(file));
  t.equal(blobs.length, 10);
  history.close();
  const again = new History(dir, t.fail);
  t.equal(again.list({ limit: 5_000 }).length, 1_000);
  t.strictSame(again.documents(1_101), new Map([['web', { n: 1_101 }]]));
});

t.test('one too many, which a kill leaves before the oldest are dropped, goes when the file is read', async (t) => {
  const dir = await tempDir(t);
  const history = new History(dir, t.fail);
  for (let n = 1; n <= 1_100; n++) history.record({ ...BASE, kind: 'hold', changes: [] });
  history.close();
  const { log } = LineLog.open(join(dir, 'history', 'log.jsonl'), t.fail);
  log.append({ entry: { ...BASE, id: 1_101, at: new Date(0).toISOString(), kind: 'hold', changes: [], facts: {} } });
  log.close();
  const again = new History(dir, t.fail);
  t.equal(again.list({ limit: 5_000 }).length, 1_000);
  t.equal(again.record({ ...BASE, kind: 'hold', changes: [] }).id, 1_102);
  again.close();
});
