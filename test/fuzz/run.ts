/**
 * `npm run fuzz -- [--seconds N | --inputs N] [--seed S] [--workers N] [--target codec|proxy|all] [--corpus FILE]… [--out FOLDER]`
 * tries mutated messages until the budget is used up (60 seconds when none is given). A problem ends it: the
 * seed is printed, a reproducer is written to FOLDER (.fuzz), and the exit code is 1. `--replay FILE` runs a
 * reproducer again, `--replay TARGET:SEED:INDEX` any input.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { fuzz, writeReproducer } from './fuzz.ts';
import type { Report } from './fuzz.ts';
import { Inputs } from './inputs.ts';
import type { Found, Target } from './inputs.ts';
import { loadSeeds } from './seeds.ts';

/** Of all inputs, where nothing else is said, so many percent go through the codec alone. */
const CODEC_PERCENT = 80;
const DEFAULT_SECONDS = 60;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string' },
    workers: { type: 'string' },
    target: { type: 'string', default: 'all' },
    corpus: { type: 'string', multiple: true },
    out: { type: 'string', default: '.fuzz' },
    replay: { type: 'string' },
  },
});

function usage(problem: string): never {
  console.error(problem);
  process.exit(2);
}

function number(name: 'seconds' | 'inputs' | 'seed' | 'workers', otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const found = Number(text);
  if (!Number.isFinite(found) || found < 0) usage(`--${name} is a number, not ${text}`);
  return found;
}

function targetsOf(name: string): Target[] {
  if (name === 'all') return ['codec', 'proxy'];
  return name === 'codec' || name === 'proxy' ? [name] : usage(`--target is codec, proxy or all, not ${name}`);
}

const thousands = (count: number): string => Math.round(count).toLocaleString('en').replaceAll(',', ' ');
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

function tell({ target, inputs, judged, seconds, heap }: Report): void {
  const rate = `${thousands(inputs)} inputs in ${seconds.toFixed(1)} s (${thousands(inputs / seconds)}/s)`;
  const flat = heap.map(([first, last]) => `${mebibytes(first)} → ${mebibytes(last)} MiB`).join(', ');
  console.log(`${target}: ${rate}, ${thousands(judged)} ${target === 'codec' ? 'messages' : 'answers'} judged${flat === '' ? '' : `, heap ${flat}`}`);
}

function show(found: Found): void {
  console.log(`FAILED ${found.target}:${found.seed}:${found.index}  ${found.problem}`);
  if (found.stack !== '') console.log(found.stack);
  for (const step of found.steps ?? []) console.log(`  ${step}`);
}

function foundIn(what: string): Found {
  const match = /^(codec|proxy):(\d+):(\d+)$/.exec(what);
  if (match === null) return JSON.parse(readFileSync(what, 'utf8')) as Found;
  return { target: match[1] as Target, seed: Number(match[2]), index: Number(match[3]), problem: '', stack: '' };
}

function replay(what: string): void {
  const found = new Inputs(loadSeeds(values.corpus)).replay(foundIn(what));
  if (found === null) return console.log('nothing is wrong with it any more');
  show(found);
  process.exitCode = 1;
}

async function run(): Promise<void> {
  const targets = targetsOf(values.target);
  const seed = number('seed', Date.now() % 2 ** 31);
  const inputs = number('inputs', Infinity);
  const seconds = number('seconds', inputs === Infinity ? DEFAULT_SECONDS : Infinity);
  console.log(`seed ${seed}`);
  for (const target of targets) {
    const percent = targets.length === 1 ? 100 : target === 'codec' ? CODEC_PERCENT : 100 - CODEC_PERCENT;
    const report = await fuzz({
      target,
      seed,
      workers: number('workers', availableParallelism()),
      inputs: Math.round((inputs * percent) / 100),
      seconds: seconds / targets.length,
      corpus: values.corpus,
    });
    tell(report);
    for (const found of report.problems) {
      show(found);
      console.log(`again: npm run fuzz -- --replay ${writeReproducer(values.out, found)}`);
      process.exitCode = 1;
    }
  }
}

if (values.replay === undefined) await run();
else replay(values.replay);
