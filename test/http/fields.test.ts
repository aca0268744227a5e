import t from 'tap';
import { BAD, CONNECTION, FIELD, FieldBlock, MANY, MORE, connectionBits, contentLength, fieldId, listNames } from '../../src/http/fields.ts';
import { latin1 } from './parsed.ts';

function idOf(name: string): number {
  const buf = latin1(`<${name}>`);
  return fieldId(buf, 1, 1 + name.length);
}

t.test('each known name has its id, in any case', async (t) => {
  for (const [key, id] of Object.entries(FIELD)) {
    if (id === FIELD.other || id === FIELD.alias) continue;
    const name = key === 'http2Settings' ? 'http2-settings' : key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    t.equal(idOf(name), id, name);
    t.equal(idOf(name.toUpperCase()), id, name.toUpperCase());
    if (name.includes('-')) t.equal(idOf(name.replace('-', '_')), FIELD.alias, `${name} with an underscore`);
  }
});

t.test('what an application could take for a known name', async (t) => {
  for (const name of ['X_Forwarded_For', 'x_forwarded-for', 'X-FORWARDED_FOR', 'content_length', 'Transfer_Encoding', 'keep_alive'])
    t.equal(idOf(name), FIELD.alias, name);
  for (const name of ['X-Forwarded-Fo', 'X-Forwarded-Forr', 'XForwardedFor', 'X.Forwarded.For', 'hos', 'Hosts', 'h_st', 'x', 'a'.repeat(300)])
    t.equal(idOf(name), FIELD.other, name);
});

t.test('a block goes on where it stopped, and says how it ends', async (t) => {
  const block = new FieldBlock(2);
  const parse = (text: string): number => block.parse(latin1(text), text.length);
  block.begin(0);
  t.equal(parse('A: 1\r\nB: '), MORE);
  t.equal(block.count, 1);
  t.equal(parse('A: 1\r\nB: 2\r\n\r\nrest'), 14);
  t.strictSame([block.count, block.end, block.lineEnd(0), block.lineEnd(1)], [2, 14, 6, 12], 'raw lines end where the next begins');
  t.equal(block.find(FIELD.other), 0);
  t.equal(block.find(FIELD.host), -1);
  block.begin(0);
  t.equal(parse('A: 1\r\nB: 2\r\nC: 3\r\n\r\n'), MANY);
  block.begin(0);
  t.equal(parse('A 1\r\n'), BAD);
  block.begin(2);
  t.equal(parse('??\r\n'), 4, 'no field at all');
  t.equal(block.count, 0);
});

t.test('a block that begins small reads as much as one that does not', async (t) => {
  const text = `${Array.from({ length: 100 }, (_, i) => `F${i}: ${i}\r\n`).join('')}\r\n`;
  const bytes = latin1(text);
  const whole = new FieldBlock(100);
  whole.begin(0);
  t.equal(whole.parse(bytes, bytes.length), bytes.length);
  for (const room of [0, 1, 4, 99]) {
    const small = new FieldBlock(100, room);
    small.begin(0);
    for (let to = 1; to <= bytes.length; to += 7) small.parse(bytes, to);
    t.equal(small.parse(bytes, bytes.length), bytes.length);
    t.equal(small.count, 100);
    t.strictSame([...small.spans.subarray(0, 400)], [...whole.spans]);
    t.strictSame([...small.ids.subarray(0, 100)], [...whole.ids]);
    small.begin(0);
    t.equal(small.parse(latin1('A: 1\r\n'.repeat(101)), 606), MANY, 'and no more');
  }
});

t.test('no byte of a line that comes in small pieces is read over and over', async (t) => {
  const text = `${'N'.repeat(500)}: ${' '.repeat(500)}${'v'.repeat(500)}${'\t'.repeat(500)}\r\n\r\n`;
  let reads = 0;
  const counted = new Proxy(latin1(text), {
    get: (bytes, key): unknown => {
      if (typeof key === 'string' && /^\d+$/.test(key)) reads++;
      return Reflect.get(bytes, key) as unknown;
    },
  });
  const block = new FieldBlock(1);
  block.begin(0);
  let to = 1;
  while (to < text.length && block.parse(counted, to) === MORE) to++;
  t.equal(to, text.length);
  t.equal(block.parse(counted, text.length), text.length);
  t.strictSame([...block.spans], [0, 500, 1002, 1502]);
  t.ok(reads < 4 * text.length, `${reads} reads of ${text.length} bytes`);
});

t.test('Connection', async (t) => {
  const { close, keepAlive, upgrade, te, other, bad } = CONNECTION;
  const cases: readonly (readonly [string, number])[] = [
    ['', 0],
    ['close', close],
    ['Keep-Alive', keepAlive],
    ['UPGRADE', upgrade],
    ['te', te],
    ['X-Mine', other],
    ['close,keep-alive', close | keepAlive],
    [' , close ,\t, Upgrade ,', close | upgrade],
    ['close x', close | bad],
    ['close;', close | bad],
    ['(close)', bad],
    ['x, @', other | bad],
  ];
  for (const [text, bits] of cases) t.equal(connectionBits(latin1(`x${text},close`), 1, 1 + text.length), bits, JSON.stringify(text));
});

t.test('names in a list', async (t) => {
  const names = (list: string, name: string): boolean =>
    listNames(latin1(`${name}${list}${name}`), name.length, name.length + list.length, latin1(name), 0, name.length);
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['X-A', 'x-a', true],
    ['b, X-A', 'x-a', true],
    ['b,X-A ,c', 'X-a', true],
    ['X_A', 'x-a', true],
    ['X-AB', 'x-a', false],
    ['X', 'x-a', false],
    ['', 'x-a', false],
    [', ,', 'x-a', false],
  ];
  for (const [list, name, expected] of cases) t.equal(names(list, name), expected, `${name} in ${JSON.stringify(list)}`);
});

t.test('lengths', async (t) => {
  const cases: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['10', 10],
    ['0000000000000000005', 5],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740992', -1],
    ['9999999999999999999', -1],
    ['00000000000000000005', -1],
    ['', -1],
    [' 1', -1],
    ['1 ', -1],
    ['1.0', -1],
    ['1e3', -1],
    ['١', -1],
    ['/', -1],
    [':', -1],
  ];
  for (const [text, length] of cases) t.equal(contentLength(latin1(`7${text}7`), 1, 1 + text.length), length, JSON.stringify(text));
});
