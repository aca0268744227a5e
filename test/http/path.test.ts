import t from 'tap';
import { furtherReadings, isPlainPath, normalisePath, pathEnd } from '../../src/http/path.ts';
import { latin1 } from './parsed.ts';

t.test('where a path ends', async (t) => {
  for (const [target, path] of [
    ['/a', '/a'],
    ['/a?b', '/a'],
    ['/?', '/'],
    ['?a', ''],
    ['', ''],
    ['/a?b?c', '/a'],
    ['/%3f?b', '/%3f'],
  ] as const) {
    const buf = latin1(`x${target}?`);
    t.equal(buf.toString('latin1', 1, pathEnd(buf, 1, 1 + target.length)), path, JSON.stringify(target));
  }
});

t.test('paths that have one reading', async (t) => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['/', true],
    ['/a/b', true],
    ['/a/', true],
    ['/a.b/c..d', true],
    ['/a;b=c', false],
    ['/a%20b', false],
    ['/a\\b', false],
    ['//a', false],
    ['/a//b', false],
    ['/a/./b', false],
    ['/a/../b', false],
    ['/a/..', false],
    ['/.hidden', false],
  ];
  for (const [path, plain] of cases) {
    const buf = latin1(`${path}//.`);
    t.equal(isPlainPath(buf, 0, path.length), plain, path);
  }
});

/** [path, its strict reading, its eager reading where that is another]; null = it is refused. */
const readings: readonly (readonly [string, string | null, (string | null)?])[] = [
  ['/', '/'],
  ['/a/b', '/a/b'],
  ['/a/b/', '/a/b/'],
  ['//a///b', '/a/b'],
  ['/a//', '/a/'],
  ['/./a/./b', '/a/b'],
  ['/a/.', '/a/'],
  ['/a/b/..', '/a/'],
  ['/a/../b', '/b'],
  ['/../../a', '/a'],
  ['/a/../..', '/'],
  ['/...', '/...'],
  ['/a/..b', '/a/..b'],
  ['/%61', '/a'],
  ['/%2e%2E/a', '/a'],
  ['/a/%2e%2e/b', '/b'],
  ['/a/.%2e/b', '/b'],
  ['/%252e', '/%2e'],
  ['/%e4', '/\xe4'],
  ['/a\\b', '/a/b'],
  ['/a\\..\\b', '/b'],
  ['/a%2fb', '/a%2Fb', '/a/b'],
  ['/a%5cb', '/a%2Fb', '/a/b'],
  ['/a%2f..%2fb', '/a%2F..%2Fb', '/b'],
  ['/a/..%2fb', '/a/..%2Fb', '/b'],
  ['/a/..;/b', '/a/..;/b', '/b'],
  ['/a/..;x=y/b', '/a/..;x=y/b', '/b'],
  ['/a/.;/b', '/a/.;/b', '/a/b'],
  ['/a/%2e%2e%3b/b', '/a/..;/b', '/b'],
  ['/a/b;c/d', '/a/b;c/d', '/a/b/d'],
  ['/admin;x=1', '/admin;x=1', '/admin'],
  ['/;x/a', '/;x/a', '/a'],
  ['/a%3bb', '/a;b', '/a'],
  ['/a;%2fb', '/a;%2Fb', '/a/b'],
  ['/a%', null],
  ['/a%4', null],
  ['/a%4g', null],
  ['/a%g4', null],
  ['/a%00', null],
  ['/a%0d%0ab', null],
  ['/a%1f', null],
  ['/a%7f', null],
];

t.test('readings for routing', async (t) => {
  for (const [path, strict, eager = strict] of readings) {
    t.equal(normalisePath(path, false), strict, `${path}, strictly`);
    t.equal(normalisePath(path, true), eager, `${path}, eagerly`);
  }
});

t.test('a reading is read as itself', async (t) => {
  for (const [path] of readings) {
    for (const slashes of [false, true]) {
      const once = normalisePath(path, slashes);
      if (once !== null && !once.includes('%')) t.equal(normalisePath(once, slashes), once, `${path} → ${once}`);
    }
  }
});

t.test('further readings only where there are tricks, and never of a long path with them', async (t) => {
  for (const path of ['/a%20b', '/caf%c3%a9/x', '/a%2fb', `/${'%e4'.repeat(2_000)}`]) t.strictSame(furtherReadings(path), [], path.slice(0, 20));
  for (const path of ['/a;b', '/a%3bb', '/a//b', '/a/./b', '/a%5cb', '/a%2f..']) t.equal(furtherReadings(path)?.length, 8, path);
  t.equal(furtherReadings(`/a;${'b'.repeat(2_000)}`), null);
});
