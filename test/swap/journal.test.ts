import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Refusal } from '../../src/errors/catalogue.ts';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { UpstreamState } from '../../src/pool/upstream.ts';
import { Journal } from '../../src/swap/journal.ts';
import { readEntry, writeEntry } from '../../src/swap/_entry.ts';
import type { Disk, JournalOptions } from '../../src/swap/journal.ts';
import { tempDir } from '../helpers/temp.ts';
import { gatePolicy, input, OPERATOR, RISE } from './fixtures.ts';
import { SwapWorld } from './world.ts';

const NOW: JournalOptions = { now: () => 1_700_000_000_000 };

function state(name: string, revision: number): UpstreamState {
  return { ...emptyUpstream(name, 0), revision };
}

/** Opens, reads the revisions of all upstreams, and closes. */
function revisions(dir: string): Record<string, number> {
  const { journal, states } = Journal.open(dir, NOW);
  journal.close();
  return sorted(Object.fromEntries([...states].map(([name, { revision }]) => [name, revision])));
}

/** A disk that fails at its n-th change and at all that follow, as if the process had been killed there. */
function dyingDisk(calls: number): { disk: Disk; died: () => boolean } {
  let left = calls;
  const deadly =
    <A extends unknown[], R>(run: (...args: A) => R, half?: (...args: A) => void) =>
    (...args: A): R => {
      if (left-- > 0) return run(...args);
      if (left === -1) half?.(...args);
      throw new Error('killed');
    };
  const write = (fd: number, bytes: Buffer, from: number, length: number, at: number): number => fs.writeSync(fd, bytes, from, length, at);
  const disk = {
    ...fs,
    writeSync: deadly(write, (fd, bytes, from, length, at) => void fs.writeSync(fd, bytes, from, length >> 1, at)),
    openSync: deadly(fs.openSync),
    fsyncSync: deadly(fs.fsyncSync),
    renameSync: deadly(fs.renameSync),
    rmSync: deadly(fs.rmSync),
    ftruncateSync: deadly(fs.ftruncateSync),
  } as unknown as Disk;
  return { disk, died: () => left < 0 };
}

t.test('what was recorded is read again, whole', async (t) => {
  const dir = await tempDir(t);
  const world = new SwapWorld({ rollback: { keep: 60_000 } });
  const { journal, states } = Journal.open(join(dir, 'state'), NOW);
  t.equal(states.size, 0);
  world.driver.changed((changed) => journal.record(changed, 'test'));
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  for (const id of ['v2', 'v3', 'v4']) {
    await world.driver.swap(
      {
        to: id,
        backends: input(id).backends,
        canary: [
          { weight: 5, hold: 100 },
          { weight: 50, hold: null },
        ],
      },
      id,
      OPERATOR,
    );
    await world.probe(id, RISE);
    await world.advance(100);
    if (id === 'v3') await world.driver.steer('abort', OPERATOR);
    else await world.driver.steer('promote', OPERATOR);
    world.request();
    await world.settle();
  }
  await world.advance(60_000);
  journal.close();
  const again = Journal.open(join(dir, 'state'), NOW);
  t.same(again.states.get('web'), JSON.parse(JSON.stringify(world.state)));
  again.journal.close();
});

t.test('upstreams are told apart, removed and made anew', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, NOW);
  journal.record(state('a', 1), 'x');
  journal.record(state('b/../c', 7), 'x');
  journal.record(state('a', 2), 'x');
  journal.remove('a');
  journal.remove('never');
  journal.close();
  t.same(revisions(dir), { 'b/../c': 7 });
  const again = Journal.open(dir, NOW);
  again.journal.record(state('a', 1), 'x');
  again.journal.close();
  t.same(revisions(dir), { a: 1, 'b/../c': 7 });
  t.throws(() => again.journal.record(state('a', 2), 'x'), /closed/);
});

t.test('cut off at every byte of the last lines: the last whole line counts', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, NOW);
  for (let n = 1; n <= 3; n++) journal.record(state('a', n), 'x');
  journal.close();
  const path = join(dir, 'journal.jsonl');
  const whole = fs.readFileSync(path);
  const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
  for (let size = ends[0]; size < whole.length; size++) {
    fs.writeFileSync(path, whole.subarray(0, size));
    const expected = size < ends[1] ? 1 : 2;
    const { journal: cut, states } = Journal.open(dir, NOW);
    if (fs.statSync(path).size !== ends[expected - 1]) t.fail(`${size} bytes: the torn line was not cut off`);
    if (states.get('a')?.revision !== expected) t.fail(`${size} bytes: revision ${states.get('a')?.revision}, expected ${expected}`);
    cut.record(state('a', 9), 'x');
    cut.close();
    if (revisions(dir).a !== 9) t.fail(`${size} bytes: what is recorded after the repair is not read`);
  }
});

t.test('a damaged line in the middle is an error that names the file and the line', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, NOW);
  for (let n = 1; n <= 3; n++) journal.record(state('a', n), 'x');
  journal.close();
  const path = join(dir, 'journal.jsonl');
  const text = fs.readFileSync(path, 'utf8');
  fs.writeFileSync(path, text.replace('"revision":2', '"revision":8'));
  t.throws(() => Journal.open(dir, NOW), new RegExp(`${path}, line 2: the checksum does not match`));
  fs.writeFileSync(path, text);
  t.same(revisions(dir), { a: 3 }, 'the failed start has left no lock behind');
  fs.writeFileSync(join(dir, 'upstreams', 'a.json'), 'no entry\n');
  t.throws(() => Journal.open(dir, NOW), /a\.json, line 1/);
});

t.test('a state that makes no sense is refused when it is read', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, NOW);
  journal.record({ ...state('a', 1), split: [{ version: 'v1', weight: 100 }] }, 'x');
  journal.record(state('a', 2), 'x');
  journal.close();
  t.throws(() => Journal.open(dir, NOW), /line 1: state\.split: version v1 has weight but is not live/);
});

t.test('past its size the journal is begun anew, and nothing is lost', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, { ...NOW, maxBytes: 2_000 });
  for (let n = 1; n <= 100; n++) journal.record(state(n % 2 === 0 ? 'a' : 'b', n), 'x');
  t.ok(fs.statSync(join(dir, 'journal.jsonl')).size < 2_500);
  journal.remove('b');
  for (let n = 101; n <= 120; n++) journal.record(state('a', n), 'x');
  journal.close();
  t.same(fs.readdirSync(join(dir, 'upstreams')), ['a.json']);
  t.same(revisions(dir), { a: 120 });
});

t.test('killed at every call to the disk, compaction included: what was acknowledged is there', async (t) => {
  const parent = await tempDir(t);
  let deaths = 0;
  for (let calls = 0; ; calls++) {
    const dir = join(parent, String(calls));
    const { disk, died } = dyingDisk(calls);
    const sure: Record<string, number> = {};
    let tried: [string, number] | null = null;
    try {
      const { journal } = Journal.open(dir, { ...NOW, maxBytes: 500, disk });
      for (let n = 1; n <= 12 && !died(); n++) {
        const name = ['a', 'b', 'c'][n % 3];
        tried = [name, n];
        if (n === 9) journal.remove(name);
        else journal.record(state(name, n), 'x');
        if (n === 9) delete sure[name];
        else sure[name] = n;
        tried = null;
      }
    } catch (error) {
      if (!/killed/.test(String(error))) throw error;
    }
    // The process is gone, and its lock with it.
    fs.rmSync(join(dir, 'lock'), { force: true });
    const read = revisions(dir);
    const or = tried === null ? sure : { ...sure, [tried[0]]: tried[1] };
    if (tried?.[1] === 9) delete or[tried[0]];
    if (JSON.stringify(read) !== JSON.stringify(sorted(sure)) && JSON.stringify(read) !== JSON.stringify(sorted(or))) {
      t.fail(`killed at call ${calls}: read ${JSON.stringify(read)}, acknowledged ${JSON.stringify(sure)}`);
    }
    if (!died()) break;
    deaths++;
  }
  t.ok(deaths > 40, `${deaths} places to die`);
});

function sorted(record: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(record).sort());
}

t.test('a write that fails leaves no trace, and a compaction that fails is only told', async (t) => {
  const dir = await tempDir(t);
  let full = false;
  let noRename = false;
  const warnings: string[] = [];
  const disk: Disk = {
    ...fs,
    writeSync: ((fd: number, bytes: Buffer, from: number, length: number, at: number): number => {
      if (!full) return fs.writeSync(fd, bytes, from, length, at);
      fs.writeSync(fd, bytes, from, 10, at);
      throw new Error('ENOSPC');
    }) as typeof fs.writeSync,
    renameSync: (from, to) => {
      if (noRename) throw new Error('EROFS');
      fs.renameSync(from, to);
    },
  };
  const { journal } = Journal.open(dir, { ...NOW, maxBytes: 600, disk, warn: (message) => warnings.push(message) });
  journal.record(state('a', 1), 'x');
  full = true;
  t.throws(() => journal.record(state('a', 2), 'x'), /ENOSPC/);
  full = false;
  t.equal(fs.readFileSync(join(dir, 'journal.jsonl'), 'utf8').split('\n').length, 2, 'one whole line and nothing after it');
  t.ok(fs.readFileSync(join(dir, 'journal.jsonl'), 'utf8').endsWith('\n'));
  noRename = true;
  for (let n = 3; n <= 8; n++) journal.record(state('a', n), 'x');
  t.match(warnings[0], /could not be compacted: EROFS/);
  noRename = false;
  for (let n = 9; n <= 20; n++) journal.record(state('a', n), 'x');
  t.ok(fs.statSync(join(dir, 'journal.jsonl')).size < 1_200);
  journal.close();
  t.same(revisions(dir), { a: 20 });
});

t.test('two proxies do not share a state folder; the lock of a dead one is taken over', async (t) => {
  const dir = await tempDir(t);
  const { journal } = Journal.open(dir, NOW);
  t.throws(() => Journal.open(dir, NOW), new RegExp(`in use by process ${process.pid}`));
  journal.close();

  const script = `import { Journal } from ${JSON.stringify(new URL('../../src/swap/journal.ts', import.meta.url).href)};
    const { journal } = Journal.open(${JSON.stringify(dir)}, { now: Date.now });
    journal.record(${JSON.stringify(state('a', 5))}, 'x');
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  t.throws(() => Journal.open(dir, NOW), Refusal);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.same(revisions(dir), { a: 5 });

  fs.writeFileSync(join(dir, 'lock'), `${process.pid} another-boot/1\n`);
  t.same(revisions(dir), { a: 5 }, 'the same process id, but another process');
  t.notOk(fs.existsSync(join(dir, 'lock')), 'closing gives the lock back');
});

t.test('a canary with its window and gates is read as it was written; a journal of before there were any, too', async (t) => {
  const gates = ['step', 'release'].map((at) => gatePolicy(at, at as 'step' | 'release'));
  const world = new SwapWorld({ canary: { steps: [], analysis: DEFAULT_ANALYSIS }, gates });
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  world.outside.say('step', 'pass');
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: [{ weight: 50, hold: 30_000 }] }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  world.outside.say('step', 'wait');
  await world.advance(29_000);
  const write = (state: unknown): ReturnType<typeof readEntry> =>
    readEntry(writeEntry({ seq: 1, at: 0, why: 'test', upstream: 'web', state: state as UpstreamState }).trimEnd());
  t.match(world.state.swap?.window, { warm: {} });
  t.same(write(world.state), { seq: 1, at: 0, why: 'test', upstream: 'web', state: world.state });
  await world.advance(2_000);
  t.match(world.state.swap?.gates?.waiting, { name: 'step', said: 'because wait' });
  t.same(write(world.state), { seq: 1, at: 0, why: 'test', upstream: 'web', state: world.state });
  const { analysis: _analysis, window: _window, gates: _gates, ...old } = world.state.swap!;
  t.match(write({ ...world.state, swap: old }), { state: { swap: { id: 's1', analysis: null, window: null, gates: null } } });
});
