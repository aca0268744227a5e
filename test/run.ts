/**
 * `npm test [-- tap arguments]`: runs tap, lets its own output through, and ends with one line made from the results it
 * wrote down: `N passed, N failed`, counting assertions. Exits 1 when anything failed or nothing ran.
 * `npm run coverage` does the same and lists the lines that no test reached.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Parser } from 'tap-parser';

interface Tally {
  passed: number;
  failed: number;
}

interface Result {
  readonly ok: boolean;
  readonly name: string;
  readonly time?: number | null;
  readonly todo?: unknown;
  readonly skip?: unknown;
  readonly fullname?: string;
  readonly diag?: unknown;
}

/**
 * Counts the assertions under this parser. A subtest counts as what is in it, and as one failure when it failed by
 * itself. `each` is told of the subtests directly under it.
 */
function tallyOf(parser: Parser, each?: (result: Result, inner: Tally) => void): Tally {
  const tally: Tally = { passed: 0, failed: 0 };
  let inner: Tally | null = null;
  parser.on('child', (child: Parser) => {
    inner = tallyOf(child);
  });
  parser.on('assert', (result: Result) => {
    if (inner !== null) {
      if (!result.ok && inner.failed === 0) inner.failed = 1;
      tally.passed += inner.passed;
      tally.failed += inner.failed;
      each?.(result, inner);
    } else if (!result.ok) {
      tally.failed++;
      failures.push(`${result.fullname ?? result.name}\n${inspect(result.diag, { depth: 4, breakLength: 160 }).slice(0, MOST_SHOWN)}`);
    } else if (!result.todo && !result.skip) tally.passed++;
    inner = null;
  });
  return tally;
}

const MOST_SHOWN = 2_000;
/** Told once more at the end: where there is no terminal, tap's own report may be elsewhere. */
const failures: string[] = [];

const root = fileURLToPath(new URL('..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'switchyard-test-'));
const results = join(dir, 'results.tap');
let tally: Tally = { passed: 0, failed: 0 };
let code: number | null = 1;
try {
  const reporter = process.stdout.isTTY ? [] : ['--reporter=min'];
  // What runs in worker threads and child processes is not measured, so a threshold would say little about this project.
  const coverage = process.argv.some((argument) => argument.startsWith('--coverage')) ? ['--allow-incomplete-coverage'] : ['--disable-coverage'];
  // Of a folder tap would run every file, helpers too.
  const asked = process.argv
    .slice(2)
    .map((argument) => (statSync(argument, { throwIfNoEntry: false })?.isDirectory() ? join(argument, '**/*.test.ts') : argument));
  const tap = join(root, 'node_modules', '.bin', 'tap');
  const child = spawn(process.execPath, [tap, 'run', ...reporter, ...coverage, `--output-file=${results}`, ...asked], {
    cwd: root,
    stdio: 'inherit',
  });
  [code] = (await once(child, 'close')) as [number | null];
  if (existsSync(results)) {
    const parser = new Parser();
    tally = tallyOf(parser, (file, inner) => {
      console.log(`${file.ok ? 'ok    ' : 'FAILED'} ${file.name}  ${inner.passed} passed, ${inner.failed} failed  ${Math.round(file.time ?? 0)} ms`);
    });
    await finished(createReadStream(results).pipe(parser));
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
// tap can fail over more than assertions: a file that cannot be loaded, a missing plan, coverage.
if (code !== 0 && tally.failed === 0) tally.failed = 1;
for (const failure of failures) console.log(`\nFAILED ${failure}`);
const failed = tally.failed > 0 || tally.passed === 0;
process.exitCode = failed ? 1 : 0;
console.log(`${tally.passed} passed, ${tally.failed} failed`);
