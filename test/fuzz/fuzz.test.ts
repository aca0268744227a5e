import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { fuzz, leaks, writeReproducer } from './fuzz.ts';
import type { Report } from './fuzz.ts';
import { Inputs } from './inputs.ts';
import type { Found, Target } from './inputs.ts';
import { loadSeeds } from './seeds.ts';

const SEED = 20_260_101;
const seeds = loadSeeds();

/** What a person needs to see it again; nothing when nothing was found. */
function told({ problems }: Report): string[] {
  return problems.map(({ target, seed, index, problem, stack, steps = [] }) => `${target}:${seed}:${index} ${problem}\n${stack}\n${steps.join('\n')}`);
}

t.test('hostile bytes through the codec, and hostile peers around the data path', async (t) => {
  for (const [target, inputs, least] of [
    ['codec', 100_000, 20_000],
    ['proxy', 12_000, 12_000],
  ] as [Target, number, number][]) {
    const report = await fuzz({ target, seed: SEED, workers: 1, inputs, seconds: 60 });
    t.strictSame(told(report), [], target);
    // A machine that is very busy does not get through all of them.
    t.ok(report.inputs > inputs / 20, `${report.inputs} of ${inputs} inputs`);
    t.ok(report.judged > (least * report.inputs) / inputs, `${report.judged} messages or answers were judged in ${report.inputs} inputs`);
    t.comment(`${target}: ${report.inputs} inputs in ${report.seconds.toFixed(1)} s`);
  }
});

/** The first input that shows a problem. */
function first(inputs: Inputs, target: Target, most: number): Found | null {
  for (let index = 0; index < most; index++) {
    const found = inputs.run({ target, seed: SEED, index });
    if (found !== null) return found;
  }
  return null;
}

const EXTENSION = /\r\n([0-9a-f]+)(;[^\r\n]*)\r\n/i;

t.test('a planted bug is found, and its reproducer shows it again', async (t) => {
  const bugs: readonly [string, (written: string, source: string) => string][] = [
    ['chunk extensions go on', (written, source) => written.replace(/\r\n[0-9a-f]+(?=\r\n)/, (line) => line + (EXTENSION.exec(source)?.[2] ?? ''))],
    ['Keep-Alive goes on', (written, source) => written.replace('\r\n', /\r\nkeep-alive:/i.test(source) ? '\r\nKeep-Alive: timeout=5\r\n' : '\r\n')],
    ['the end of a body is lost', (written, source) => (source.includes('hello') ? written.replace('hello', 'hell') : written)],
    ['a byte too many', (written, source) => (source.includes('DELETE') ? `${written}\n` : written)],
  ];
  for (const [name, tamper] of bugs) {
    const planted = new Inputs(seeds, tamper);
    const found = first(planted, 'codec', 20_000);
    if (found === null) return void t.fail(`${name}: not found`);
    t.match(planted.replay(found), { problem: found.problem }, name);
    t.equal(new Inputs(seeds).replay(found), null, `${name}: without the bug it is gone`);
  }
});

t.test('an input follows from its seed and its number alone', async (t) => {
  const tamper = (written: string): string => written.replace('Host', 'host ');
  const [one, two] = [new Inputs(seeds, tamper), new Inputs(seeds, tamper)];
  first(two, 'codec', 10);
  const found = first(one, 'codec', 1_000);
  t.ok(found);
  t.strictSame(two.run(found!)?.input, found?.input);
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-fuzz-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.match(writeReproducer(folder, found!), new RegExp(`codec-${SEED}-${found!.index}\\.json$`));
});

t.test('a heap that grows is a leak, one that goes up and down is not', async (t) => {
  const at = (mebibytes: (i: number) => number): number[] => Array.from({ length: 40 }, (_, i) => mebibytes(i) * 2 ** 20);
  t.equal(leaks(at((i) => 20 + i)), true);
  t.equal(leaks(at((i) => 20 + (i % 7))), false);
});
