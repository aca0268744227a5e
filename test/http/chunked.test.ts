import t from 'tap';
import { ChunkedReader } from '../../src/http/chunked.ts';
import { readChunks } from './chunks.ts';
import { everyByte, latin1 } from './parsed.ts';

const LAST = '0\r\n\r\n';

const accepted: readonly (readonly [string, string, string, string?])[] = [
  ['nothing', LAST, ''],
  ['one chunk', `5\r\nhello\r\n${LAST}`, 'hello'],
  ['many chunks', `1\r\na\r\n2\r\nbc\r\n${LAST}`, 'abc'],
  ['hexadecimal in both cases', `A\r\n0123456789\r\nf\r\nabcdefghijklmno\r\n${LAST}`, '0123456789abcdefghijklmno'],
  ['data that looks like chunks', `7\r\n\r\n0\r\n\r\n\r\n${LAST}`, '\r\n0\r\n\r\n'],
  ['any byte', `4\r\n\0\xff\r\n\r\n${LAST}`, '\0\xff\r\n'],
  ['leading zeros', `00000000000005\r\nhello\r\n00000000000000\r\n\r\n`, 'hello'],
  ['a name', `5;a\r\nhello\r\n${LAST}`, 'hello'],
  ['a name and a token', `5;a=b\r\nhello\r\n${LAST}`, 'hello'],
  ['several extensions', `5;a=b;c;d="e"\r\nhello\r\n${LAST}`, 'hello'],
  ['a quoted value', `5;a="; = \t\x80,"\r\nhello\r\n${LAST}`, 'hello'],
  ['quoted pairs', `5;a="\\"\\\\\\;"\r\nhello\r\n${LAST}`, 'hello'],
  ['an empty quoted value', `5;a=""\r\nhello\r\n${LAST}`, 'hello'],
  ['an extension of the last chunk', '0;a=b\r\n\r\n', ''],
  ['a trailer', `1\r\na\r\n0\r\nX: y\r\n\r\n`, 'a', 'X: y\r\n'],
  ['trailers', `0\r\nX: y\r\nZ:\r\n\r\n`, '', 'X: y\r\nZ:\r\n'],
];

t.test('bodies that are read', async (t) => {
  const reader = new ChunkedReader();
  for (const [name, text, body, trailers = null] of accepted) {
    const expected = { verdict: 'end', body, trailers, size: text.length };
    const bytes = latin1(text);
    t.strictSame(readChunks(bytes, [], reader), expected, name);
    t.strictSame(readChunks(bytes, everyByte(text.length), reader), expected, `${name}, byte by byte`);
    for (const cut of everyByte(text.length)) t.strictSame(readChunks(bytes, [cut], reader), expected, `${name}, cut at ${cut}`);
  }
});

t.test('it takes its own bytes and no more', async (t) => {
  t.match(readChunks(latin1(`1\r\na\r\n${LAST}GET / HTTP/1.1\r\n\r\n`)), { verdict: 'end', body: 'a', size: 11 });
  t.match(readChunks(latin1('0\r\nX: y\r\n\r\nGET /')), { verdict: 'end', trailers: 'X: y\r\n', size: 11 });
  t.equal(readChunks(latin1('0\r\n\r'), [], undefined, '\n').verdict, 'more', 'what lies behind its bytes is not read');
  t.match(readChunks(latin1('0\r\nX: y\r\n\r\nGET /'), [4, 9, 10]), { verdict: 'end', trailers: 'X: y\r\n', size: 11 });
});

const refused: readonly (readonly [string, string])[] = [
  ['no size', '\r\n'],
  ['an empty line before the size', `\r\n${LAST}`],
  ['a size that is not hexadecimal', 'g\r\n'],
  ['a size with a prefix', '0x5\r\n'],
  ['a signed size', '+5\r\n'],
  ['a negative size', '-5\r\n'],
  ['a space before the size', ' 5\r\n'],
  ['a space behind the size', '5 \r\n'],
  ['a tab behind the size', '5\t\r\n'],
  ['a size in full-width digits', '\xef\xbc\x95\r\n'],
  ['a size of 15 digits', '000000000000005\r\n'],
  ['a size over 2^53', '20000000000000\r\n'],
  ['LF alone behind the size', '5\nhello\r\n'],
  ['CR alone behind the size', '5\rhello'],
  ['CR CR LF', '5\r\r\nhello'],
  ['data that is longer than its size', '4\r\nhello\r\n'],
  ['LF alone behind the data', '5\r\nhello\n'],
  ['CR alone behind the data', '5\r\nhello\rX'],
  ['nothing behind the data', '5\r\nhello0\r\n\r\n'],
  ['LF alone at the end', '0\r\n\n'],
  ['CR and something else at the end', '0\r\n\rX'],
  ['a bare semicolon', '5;\r\nhello\r\n'],
  ['two semicolons', '5;;a\r\n'],
  ['a semicolon at the end', '5;a;\r\n'],
  ['no name', '5;=b\r\n'],
  ['no value', '5;a=\r\n'],
  ['no value before the next', '5;a=;b\r\n'],
  ['two values', '5;a=b=c\r\n'],
  ['a space in an extension', '5;ext name=value\r\n'],
  ['a space before the semicolon', '5 ;a\r\n'],
  ['a space behind the semicolon', '5; a\r\n'],
  ['a tab behind the semicolon', '5;\ta\r\n'],
  ['a space before the equals sign', '5;a =b\r\n'],
  ['a space behind the equals sign', '5;a= b\r\n'],
  ['a space behind the value', '5;a=b \r\n'],
  ['a control byte in a name', '5;a\x01\r\n'],
  ['a control byte in a value', '5;a=b\x00\r\n'],
  ['a control byte in quotes', '5;a="\x01"\r\n'],
  ['DEL in quotes', '5;a="\x7f"\r\n'],
  ['a line end in quotes', '5;a="\r\n"\r\n'],
  ['LF in quotes', '5;a="\n"\r\n'],
  ['an escaped control byte', '5;a="\\\x01"\r\n'],
  ['an escaped line end', '5;a="\\\r\n"\r\n'],
  ['something behind the quotes', '5;a="b"c\r\n'],
  ['a name in quotes', '5;"a"\r\n'],
  ['a byte above ASCII in a name', '5;\xe4\r\n'],
  ['LF alone behind an extension', '5;a\nhello\r\n'],
  ['CR in an extension', '5;a\rb\r\n'],
  ['a trailer that is no field', '0\r\nX y\r\n\r\n'],
  ['a folded trailer', '0\r\nX: y\r\n z\r\n\r\n'],
  ['a control byte in a trailer', '0\r\nX: \x01\r\n\r\n'],
];

t.test('bodies that are refused', async (t) => {
  for (const [name, text] of refused) {
    const bytes = latin1(text);
    t.equal(readChunks(bytes).verdict, 'bad', name);
    t.equal(readChunks(bytes, everyByte(text.length)).verdict, 'bad', `${name}, byte by byte`);
  }
});

t.test('bounds', async (t) => {
  const extended = (size: number): string => `0;${'a'.repeat(size)}\r\n\r\n`;
  t.equal(readChunks(latin1(extended(16_384))).verdict, 'end', 'extensions of 16 KiB');
  t.equal(readChunks(latin1(extended(16_385))).verdict, 'bad', 'and one byte more');
  const chunk = `1;${'a'.repeat(1023)}\r\nx\r\n`;
  t.equal(readChunks(latin1(`${chunk.repeat(16)}${LAST}`)).verdict, 'end', 'the bound is over the whole body');
  t.equal(readChunks(latin1(`${chunk.repeat(17)}${LAST}`)).verdict, 'bad');
  const trailer = (size: number): string => `X: ${'x'.repeat(size - 7)}\r\n\r\n`;
  for (const cuts of [[], [10, 5000]]) {
    t.equal(readChunks(latin1(`0\r\n${trailer(8192)}`), cuts).verdict, 'end', 'trailers of 8 KiB');
    t.equal(readChunks(latin1(`0\r\n${trailer(8193)}`), cuts).verdict, 'bad', 'and one byte more');
    t.equal(readChunks(latin1(`0\r\n${trailer(20_000)}`), cuts).verdict, 'bad', 'and much more');
  }
  t.equal(readChunks(latin1(`0\r\n${'X: y\r\n'.repeat(32)}\r\n`)).verdict, 'end', '32 trailers');
  t.equal(readChunks(latin1(`0\r\n${'X: y\r\n'.repeat(33)}\r\n`)).verdict, 'bad', 'and one more');
  t.equal(readChunks(latin1('1fffffffffffff\r\nx')).body, 'x', 'a size of 2^53 − 1');
});

t.test('a reader is used again', async (t) => {
  const reader = new ChunkedReader();
  readChunks(latin1('0\r\nX: y\r\n\r\n'), [4], reader);
  t.strictSame(readChunks(latin1(`2\r\nab\r\n${LAST}`), [], reader), { verdict: 'end', body: 'ab', trailers: null, size: 12 }, 'after trailers');
  readChunks(latin1('5;a="'), [], reader);
  t.strictSame(readChunks(latin1(LAST), [], reader).verdict, 'end', 'after half an extension');
  const extended = latin1(`0;${'a'.repeat(10_000)}\r\n\r\n`);
  for (const time of ['once', 'twice']) t.equal(readChunks(extended, [], reader).verdict, 'end', `each body has its own bound: ${time}`);
  t.equal(readChunks(latin1(`${LAST}0`), [], reader).size, LAST.length);
  t.equal(reader.next(latin1('0'), 0, 1), 3, 'nothing is read behind the end');
});
