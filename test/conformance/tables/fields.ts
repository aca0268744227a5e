import { H, SMUGGLED, pass, refuse } from '../rows.ts';
import type { RequestRow } from '../rows.ts';

const GET = `GET / HTTP/1.1\r\n${H}`;
const CONTROLS = ['\0', '\x01', '\x07', '\x08', '\x0b', '\x0c', '\x0e', '\x1b', '\x1f', '\x7f', '\r', '\n'];

/** Field lines (RFC 9112 §5, RFC 9110 §5). */
export const fields: readonly RequestRow[] = [
  pass('9110 §5.3', 'order, case and spacing of fields are kept', `${GET}b: 1\r\nA:2 \r\nB:\t3\r\na: 4\r\n\r\n`, `${GET}b: 1\r\nA:2 \r\nB:\t3\r\na: 4\r\n\r\n`),
  pass('9110 §5.5', 'an empty value is a value', `${GET}X:\r\nY: \t \r\n\r\n`, `${GET}X:\r\nY: \t \r\n\r\n`),
  pass('9110 §5.5', 'bytes over 127 pass as they are', `${GET}X: caf\xe9 \xff\x80\r\n\r\n`, `${GET}X: caf\xe9 \xff\x80\r\n\r\n`),
  pass('9110 §5.5', 'so do tabs inside a value', `${GET}X: a\tb\r\n\r\n`, `${GET}X: a\tb\r\n\r\n`),
  pass('9110 §5.1', 'every token is a name', `${GET}!#$%&'*+-.^_\`|~09AZaz: x\r\n\r\n`, `${GET}!#$%&'*+-.^_\`|~09AZaz: x\r\n\r\n`),
  pass('9110 §5.1', 'unknown fields pass', `${GET}X-New: 1\r\n\r\n`, `${GET}X-New: 1\r\n\r\n`),
  pass('9110 §5.6.4', 'quotes and commas in a value are left alone', `${GET}X: "a, b", c\r\n\r\n`, `${GET}X: "a, b", c\r\n\r\n`),
  pass('9110 §5.3', 'Cookie lines are not merged', `${GET}Cookie: a=1\r\nCookie: b=2\r\n\r\n`, `${GET}Cookie: a=1\r\nCookie: b=2\r\n\r\n`),
  ...[' ', '\t', ' \t ', '\0', '\x0b'].map((space) =>
    refuse('9112 §5.1', `${JSON.stringify(space)} before a colon is refused`, `${GET}X${space}: y\r\n\r\n${SMUGGLED}`, 'bad-field'),
  ),
  refuse('9112 §5.2', 'a folded field', `${GET}X: a\r\n b\r\n\r\n`, 'bad-field'),
  refuse('9112 §5.2', 'a field folded with a tab', `${GET}X: a\r\n\tb\r\n\r\n`, 'bad-field'),
  refuse('9112 §5.2', 'a folded Host', `GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n`, 'bad-field'),
  refuse('9112 §5.2', 'a fold of nothing', `${GET}X: a\r\n \r\n\r\n`, 'bad-field'),
  refuse('9112 §2.2', 'white space before the first field', `GET / HTTP/1.1\r\n ${H}\r\n`, 'bad-field'),
  refuse('9112 §2.2', 'a tab before the first field', `GET / HTTP/1.1\r\n\tX: y\r\n${H}\r\n`, 'bad-field'),
  refuse('9112 §2.2', 'lines that end in LF', 'GET / HTTP/1.1\nHost: a\n\n', 'malformed'),
  refuse('9112 §2.2', 'a field that ends in LF', `GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n${SMUGGLED}`, 'bad-field'),
  refuse('9112 §2.2', 'a head that ends in LF', `${GET}X: y\r\n\n${SMUGGLED}`, 'bad-field'),
  refuse('9112 §2.2', 'a head that ends in CR X', `${GET}X: y\r\n\rX${SMUGGLED}`, 'bad-field'),
  refuse('9112 §2.2', 'a head that ends in CR CR LF', `${GET}X: y\r\n\r\r\n${SMUGGLED}`, 'bad-field'),
  ...CONTROLS.map((code) => refuse('9110 §5.5', `${JSON.stringify(code)} in a value is refused`, `${GET}X: a${code}b\r\n\r\n`, 'bad-field')),
  ...['\r', '\n', '\0'].map((code) =>
    refuse('9110 §5.5', `${JSON.stringify(code)} at the end of a value is refused`, `${GET}X: a${code}\r\n\r\n`, 'bad-field'),
  ),
  ...['(', ')', ',', '/', ';', '<', '=', '>', '?', '@', '[', '\\', ']', '{', '}', '"', ' ', '\x7f', '\xe9', '\r', '\n'].map((code) =>
    refuse('9110 §5.1', `${JSON.stringify(code)} in a name is refused`, `${GET}X${code}Y: z\r\n\r\n`, 'bad-field'),
  ),
  refuse('9110 §5.1', 'a field without a name', `${GET}: x\r\n\r\n`, 'bad-field'),
  refuse('9112 §5', 'a field without a colon', `${GET}nonsense\r\n\r\n`, 'bad-field'),
  refuse('9110 §5.4', 'too many fields', `${GET}${'X: y\r\n'.repeat(100)}\r\n`, 'head-too-large', 431),
  refuse('9110 §5.4', 'too large a field', `${GET}X: ${'y'.repeat(33_000)}\r\n\r\n`, 'head-too-large', 431),
  refuse('9110 §5.4', 'a name without an end', `${GET}${'y'.repeat(33_000)}`, 'head-too-large', 431),
  pass('9110 §5.4', 'as many as are allowed', `${GET}${'X: y\r\n'.repeat(99)}\r\n`, `${GET}${'X: y\r\n'.repeat(99)}\r\n`),
];
