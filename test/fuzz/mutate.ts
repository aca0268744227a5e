import type { Prng } from './prng.ts';

/** Bytes that have had two readings somewhere. */
const TRICKS = [
  '\r', '\n', '\r\n', '\n\n', '\r\r\n', '\0', ' ', '\t', '\x0b', '\x0c', ':', ';', ',', '"', '\\', '=', '\x7f', '\x80', '\xff', '_', '#', '%', '%2e', '%2f', '..', '@', '[',
  '\r\n ', '\r\n\t', '\r\n\r\n', '\r\nX', ' \r\n', '0\r\n\r\n', '\r\n0\r\n\r\n', ';a', ';a=b', ';a="b', ';\n', '; a', '-1', '+1', '0x1', '1 1', '1,1', '1e1', '0001',
  'ffffffffffffffff', '99999999999999', '9007199254740993', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\x16\x03\x01',
] as const; // prettier-ignore

/** Lines that change how a message is framed, routed or trusted. */
const LINES = [
  'Host: b.example', 'Host: a.example', 'Host:', 'host: a@b', 'Content-Length: 1', 'Content-Length: 0', 'Content-Length: 5, 5', 'content-length: 00005', 'Content_Length: 3',
  'Transfer-Encoding: chunked', 'transfer-encoding: CHUNKED', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding : chunked',
  'Transfer-Encoding:\tchunked\t', 'Transfer_Encoding: chunked', 'Transfer-Encoding: xchunked', ' Transfer-Encoding: chunked', 'Transfer-Encoding:', 'Transfer-Encoding: "chunked"',
  'Connection: close', 'Connection: keep-alive', 'Connection: Host, Content-Length', 'Connection: Transfer-Encoding', 'Connection: X-Forwarded-For', 'Connection: Upgrade',
  'Connection: ,a,', 'Connection: a b', 'Upgrade: websocket', 'Upgrade: h2c', 'Keep-Alive: timeout=1', 'Proxy-Connection: close', 'TE: trailers', 'TE: chunked', 'Trailer: Content-Length',
  'Expect: 100-continue', 'Expect: other', 'X-Forwarded-For: 10.0.0.1', 'X_Forwarded_For: 10.0.0.1', 'Forwarded: for=x', 'Via: 1.1 switchyard', 'Date: x', ': empty', 'NoColon',
  'Set-Cookie: a=b', 'Content-Type: text/event-stream', 'Content-Encoding: gzip', 'Content-Range: bytes 0-1/2',
] as const; // prettier-ignore

type Mutator = (text: string, rng: Prng, other: () => string) => string;

/** Most messages stay small: a large one costs as much as a hundred. */
const LARGEST = 8_192;

function put(text: string, at: number, what: string, instead = 0): string {
  return text.slice(0, at) + what + text.slice(at + instead);
}

/** Offset of the start of some line. */
function lineStart(text: string, rng: Prng): number {
  const from = text.lastIndexOf('\n', rng.below(text.length + 1) - 1);
  return from + 1;
}

function someLine(text: string, rng: Prng): string {
  const at = lineStart(text, rng);
  const end = text.indexOf('\n', at);
  return text.slice(at, end === -1 ? text.length : end + 1);
}

/** Changes one of the numbers in the text, or the number that begins a line (a chunk size). */
function editNumber(text: string, rng: Prng): string {
  const numbers = [...text.matchAll(rng.chance(50) ? /\d+/g : /(?<=\n)[0-9a-fA-F]+(?=[;\r\n ])/g)];
  if (numbers.length === 0) return text;
  const found = rng.pick(numbers);
  const [digits] = found;
  const value = Number.parseInt(digits, 16);
  const edits = [String(value + 1), String(Math.max(0, value - 1)), `0${digits}`, `${digits}0`, (value + 1).toString(16), '0', '', `+${digits}`, `-${digits}`, `${digits} `, ` ${digits}`, digits.toUpperCase(), `0x${digits}`, `${digits}${digits}`, 'ffffffff', '4294967297', '18446744073709551617']; // prettier-ignore
  return put(text, found.index, rng.pick(edits), digits.length);
}

function otherCase(text: string, rng: Prng): string {
  const at = lineStart(text, rng);
  const end = Math.min(text.length, at + 1 + rng.below(30));
  const part = text.slice(at, end);
  return put(
    text,
    at,
    part.replace(/[A-Za-z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) ^ 0x20)),
    part.length,
  );
}

function flood(text: string, rng: Prng): string {
  const line = someLine(text, rng);
  const times = Math.min(2 + rng.below(120), Math.floor(LARGEST / (line.length + 1)));
  return put(text, lineStart(text, rng), line.repeat(Math.max(0, times)));
}

const MUTATORS: readonly Mutator[] = [
  (text, rng) => put(text, rng.below(text.length + 1), rng.pick(TRICKS)),
  (text, rng) => put(text, rng.below(text.length + 1), rng.pick(TRICKS), 1 + rng.below(3)),
  (text, rng) => put(text, lineStart(text, rng), `${rng.pick(LINES)}\r\n`),
  (text, rng) => put(text, lineStart(text, rng), rng.pick(TRICKS)),
  (text, rng) => put(text, rng.below(text.length + 1), String.fromCharCode(rng.below(256)), rng.below(2)),
  (text, rng) => put(text, rng.below(text.length + 1), '', 1 + rng.below(rng.chance(80) ? 4 : 60)),
  (text, rng) => put(text, lineStart(text, rng), someLine(text, rng)),
  (text, rng) => {
    const at = rng.below(text.length + 1);
    return put(text, at, text.slice(at, at + 1 + rng.below(40)));
  },
  // The end of a line in another way.
  (text, rng) => {
    const at = text.indexOf('\r\n', rng.below(text.length + 1));
    return at === -1 ? text : put(text, at, rng.pick(['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ', '\r\n\r\n', '\0\r\n', '']), 2);
  },
  (text, rng) => {
    const at = text.indexOf(':', rng.below(text.length + 1));
    return at === -1 ? text : put(text, at, rng.pick([' :', '\t:', '::', ';', '', ':\r\n ', '=', ':\x0b', ':\0']), 1);
  },
  (text, rng, other) => text.slice(0, rng.below(text.length + 1)) + other().slice(rng.below(200)),
  (text, rng, other) => text.slice(0, lineStart(text, rng)) + tail(other(), rng),
  editNumber,
  editNumber,
  otherCase,
  (text, _rng, other) => text + other(),
  (text, rng) => text.slice(0, rng.below(text.length + 1)),
];

function tail(text: string, rng: Prng): string {
  return text.slice(lineStart(text, rng));
}

/** The text after up to `most` changes; none at times. */
export function mutate(seed: string, rng: Prng, other: () => string, most = 5): string {
  let text = seed;
  if (rng.below(500) === 0) text = flood(text, rng);
  for (let i = rng.below(most + 1); i > 0; i--) text = rng.pick(MUTATORS)(text, rng, other);
  return text.length > LARGEST * 2 ? text.slice(0, LARGEST * 2) : text;
}
