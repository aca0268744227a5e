import t from 'tap';
import { LIMITS, readRequest } from './parsed.ts';

const LINE = 'GET / HTTP/1.1\r\nHost: a\r\n';

/** A head of exactly so many bytes. */
function headOf(size: number): string {
  return `${LINE}X: ${'x'.repeat(size - LINE.length - 'X: \r\n\r\n'.length)}\r\n\r\n`;
}

function fieldsOf(count: number): string {
  return `${LINE}${'X: y\r\n'.repeat(count - 1)}\r\n`;
}

function targetOf(length: number): string {
  return `GET /${'a'.repeat(length - 1)} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

function methodOf(length: number): string {
  return `${'A'.repeat(length)} / HTTP/1.1\r\nHost: a\r\n\r\n`;
}

/** [what, a head of that measure, the limit, the code one past it] */
const limits: readonly (readonly [string, (measure: number) => string, number, string])[] = [
  ['bytes of the head', headOf, LIMITS.head, 'head-too-large'],
  ['fields', fieldsOf, LIMITS.headers, 'head-too-large'],
  ['bytes of the target', targetOf, LIMITS.target, 'target-too-long'],
  ['bytes of the method', methodOf, 32, 'not-implemented'],
];

t.test('at the limit and one past it', async (t) => {
  for (const [what, make, limit, code] of limits) {
    const cuts = [10, 40, limit - 1, limit, limit + 1].filter((cut) => cut < make(limit).length);
    t.type(readRequest(make(limit)), 'object', `${limit} ${what}`);
    t.type(readRequest(make(limit), cuts), 'object', `${limit} ${what}, in pieces`);
    t.equal(readRequest(make(limit + 1)), code, `${limit + 1} ${what}`);
    t.equal(readRequest(make(limit + 1), cuts), code, `${limit + 1} ${what}, in pieces`);
  }
});

t.test('what will be too large is refused before it is all there', async (t) => {
  t.equal(readRequest(headOf(LIMITS.head + 1000).slice(0, LIMITS.head)), 'head-too-large', 'the limit is full and the head has not ended');
  t.equal(readRequest(headOf(LIMITS.head + 1000).slice(0, LIMITS.head - 1)), 'more', 'it might still end');
  t.equal(readRequest(`GET /${'a'.repeat(LIMITS.target)}`), 'target-too-long');
  t.equal(readRequest(`GET /${'a'.repeat(LIMITS.target - 1)}`), 'more');
  t.equal(readRequest('A'.repeat(33)), 'not-implemented');
  t.equal(readRequest('A'.repeat(32)), 'more');
  t.equal(readRequest(`${LINE}${'X: y\r\n'.repeat(LIMITS.headers - 1)}X`), 'head-too-large', 'the first byte of one field too many');
});

t.test('a request line that fills the limit of the head', async (t) => {
  const small = { head: 64, headers: 10, target: 8192 };
  t.equal(readRequest(targetOf(100), [], small), 'head-too-large');
  t.equal(readRequest(targetOf(100), [20, 40, 64], small), 'head-too-large');
});

t.test('empty lines before the head do not count', async (t) => {
  const head = `\r\n\r\n${headOf(LIMITS.head)}`;
  t.type(readRequest(head), 'object', 'at once');
  t.type(readRequest(head, [4, 30]), 'object', 'in pieces');
  const larger = `\r\n\r\n${headOf(LIMITS.head + 1)}`;
  t.equal(readRequest(larger), 'head-too-large', 'at once');
  t.equal(readRequest(larger, [4, 30]), 'head-too-large', 'in pieces');
});

t.test('a limit is the configured one', async (t) => {
  t.equal(readRequest(fieldsOf(3), [], { head: 1024, headers: 2, target: 64 }), 'head-too-large');
  t.equal(readRequest(targetOf(65), [], { head: 1024, headers: 2, target: 64 }), 'target-too-long');
  t.equal(readRequest(headOf(1025), [], { head: 1024, headers: 2, target: 64 }), 'head-too-large');
  t.type(readRequest(headOf(1024), [], { head: 1024, headers: 2, target: 64 }), 'object');
});
