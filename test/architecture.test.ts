import t from 'tap';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import {
  documentsExist,
  fileLength,
  functionLength,
  importDirection,
  lightDataPlane,
  noAny,
  noIdleTests,
  noIndexFiles,
  privateFiles,
  purity,
  roomsWithoutTests,
  speaksOfItself,
} from './helpers/architecture.ts';
import type { Rule, SourceFile } from './helpers/architecture.ts';
import { ROOT } from './helpers/process.ts';

const OUTSIDE = new Set(['node_modules', '.git', 'dist', '.tap', '.switchyard']);
const TEXT = /\.([cm]?[jt]s|json|md|ya?ml|sh|html|css)$|(^|\/)(LICENSE|run|\.gitignore)$/;

function walk(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (OUTSIDE.has(entry.name)) return [];
    const path = join(dir, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

const files: SourceFile[] = walk(ROOT)
  .filter((path) => TEXT.test(path))
  .map((path) => ({ path: relative(ROOT, path).split(sep).join('/'), text: readFileSync(path, 'utf8') }));
const sources = files.filter(({ path }) => /^(src|test|bench)\/.*\.ts$/.test(path));
const shipped = sources.filter(({ path }) => !path.startsWith('test/') || path.startsWith('test/helpers/'));
const documents = files.filter(({ path }) => path.endsWith('.md')).map(({ path }) => path);
/** They hold examples of what is forbidden. */
const rulebook = new Set(['test/architecture.test.ts', 'test/helpers/architecture.ts']);

function hold(name: string, rule: Rule, over: readonly SourceFile[]): void {
  t.strictSame(over.filter(({ path }) => !rulebook.has(path)).flatMap(rule), [], name);
}

t.test('there is something to look at', async (t) => {
  t.ok(sources.length > 50);
  t.ok(sources.some(({ path }) => path === 'src/errors/catalogue.ts'));
});

hold('imports go up the list of rooms only', importDirection, sources);
hold('a _private file is used in its own room only', privateFiles, sources);
hold('no index files', noIndexFiles, sources);
hold('files stay short', fileLength, sources);
hold('functions stay short', functionLength, shipped);
hold('pure code is handed its clock, timers, chance and I/O', purity, sources);
hold('the data plane is free of the control plane’s libraries', lightDataPlane, sources);
hold('no any', noAny, sources);
hold('every test runs', noIdleTests, sources);
hold('the project speaks of itself alone', speaksOfItself, files);
hold('documents that are pointed to exist', documentsExist(documents), files);
t.strictSame(roomsWithoutTests(files.map(({ path }) => path)), [], 'every room has tests');

/** [rule, text that breaks it, the path it would have, text that keeps it] */
const examples: readonly (readonly [string, Rule, string, string, string])[] = [
  ['a room below', importDirection, 'src/pool/a.ts', `import { a } from '../swap/swap.ts';`, `import { a } from '../errors/catalogue.ts';`],
  ['a type from a room below', importDirection, 'src/proxy/a.ts', `import type { A } from '../admin/a.ts';`, `import type { A } from '../pool/a.ts';`],
  ['a re-export from a room below', importDirection, 'src/http/a.ts', `export { a } from '../data/a.ts';`, `export { a } from './b.ts';`],
  ['a dynamic import of a room below', importDirection, 'src/http/a.ts', `await import('../data/a.ts');`, `await import('./b.ts');`],
  ['swap and proxy', importDirection, 'src/swap/a.ts', `import { a } from '../proxy/request.ts';`, `import { a } from '../pool/a.ts';`],
  ['the ledger in balance', importDirection, 'src/balance/a.ts', `import { a } from '../ledger/thread.ts';`, `import { a } from '../pool/a.ts';`],
  ['tests in the source', importDirection, 'src/cli/a.ts', `import { a } from '../../test/helpers/wait.ts';`, `import 'zod';`],
  ['a private file', privateFiles, 'src/admin/a.ts', `import { a } from '../swap/_turn.ts';`, `import { a } from './_views.ts';`],
  [
    'a private file in a test',
    privateFiles,
    'test/admin/a.test.ts',
    `import { a } from '../../src/swap/_turn.ts';`,
    `import { a } from '../../src/admin/_views.ts';`,
  ],
  ['a long file', fileLength, 'src/pool/a.ts', 'a();\n'.repeat(401), 'a();\n'.repeat(400)],
  ['a long function', functionLength, 'src/pool/a.ts', `function a() {${'\n'.repeat(70)}}`, `function a() {${'\n'.repeat(69)}}`],
  ['a long method', functionLength, 'src/pool/a.ts', `class A { b() {${'\n'.repeat(70)}} }`, `class A {${'\n'.repeat(99)} b() {} }`],
  ['a long arrow', functionLength, 'src/pool/a.ts', `const a = () => {${'\n'.repeat(70)}};`, `const a = {${'\n'.repeat(99)}};`],
  ['the clock', purity, 'src/pool/a.ts', `const a = Date.now();`, `const a = now();`],
  ['the date', purity, 'src/swap/a.ts', `const a = new Date();`, `const a = new Date(now);`],
  ['a timer', purity, 'src/health/_verdict.ts', `setTimeout(run, 5);`, `after(5, run);`],
  ['chance', purity, 'src/balance/a.ts', `pick(Math.random());`, `pick(random());`],
  ['the environment', purity, 'src/http/a.ts', `const a = process.env.HOME;`, `const a = options.home;`],
  ['I/O', purity, 'src/ledger/a.ts', `import { connect } from 'node:net';`, `import { join } from 'node:path';`],
  ['zod in the data plane', lightDataPlane, 'src/proxy/a.ts', `import { z } from 'zod';`, `import { a } from './b.ts';`],
  ['any', noAny, 'src/pool/a.ts', `let a: any;`, `let any: unknown;`],
  ['a cast to any', noAny, 'test/pool/a.ts', `b(a as any);`, `b(a as never);`],
  ['t.only', noIdleTests, 'test/a.test.ts', `t.only('a', run);`, `t.test('only', run);`],
  ['t.skip', noIdleTests, 'test/a.test.ts', `t.skip('a');`, `stream.skip(4);`],
  ['skip as an option', noIdleTests, 'test/a.test.ts', `t.test('a', { skip: true }, run);`, `t.test('a', { timeout: 5 }, run);`],
  ['an empty test', noIdleTests, 'test/a.test.ts', `t.test('a', async () => {});`, `t.test('a', async () => { t.ok(a); });`],
  ['a folder of one machine', speaksOfItself, 'README.md', 'see /home/someone/x', 'GET https://example.com/home/someone'],
  ['a registry', speaksOfItself, 'a.json', '"https://registry.example.com/tap"', '"https://example.com/tap"'],
  ['a lock file with addresses', speaksOfItself, 'package-lock.json', '"resolved": "x"', '"integrity": "x"'],
  ['a missing document', documentsExist(['docs/life.md']), 'src/a.ts', '// see death.md', '// see life.md'],
];

t.test('each rule can fail, and does not when nothing is wrong', async (t) => {
  for (const [name, rule, path, bad, good] of examples) {
    t.equal(rule({ path, text: bad }).length, 1, `${name}: complained about`);
    t.strictSame(rule({ path, text: good }), [], `${name}: left alone`);
  }
  t.match(importDirection({ path: 'src/utils/a.ts', text: '' }), [/not a room/]);
  t.match(noIndexFiles({ path: 'src/pool/index.ts', text: '' }), [/index\.ts/]);
  t.strictSame(noIndexFiles({ path: 'src/pool/reindex.ts', text: '' }), []);
  t.match(purity({ path: 'src/pool/a.ts', text: '\nsetInterval(run);' }), [/^src\/pool\/a\.ts:2: setInterval in pure code; take after\(ms, run\)/]);
  t.strictSame(purity({ path: 'src/data/a.ts', text: 'Date.now()' }), [], 'only in pure rooms');
  t.strictSame(roomsWithoutTests(['src/a/x.ts', 'src/b/x.ts', 'src/main.ts', 'test/a/x.test.ts', 'test/b/helper.ts']), ['src/b has no test in test/b']);
});
