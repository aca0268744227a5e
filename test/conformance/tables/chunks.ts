import { H, SMUGGLED } from '../rows.ts';
import type { RequestRow } from '../rows.ts';

const HEAD = `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`;
const BODY = '4\r\nbody\r\n';
const END = '0\r\n\r\n';

function read(section: string, must: string, body: string, framed: string): RequestRow {
  return { section, must, send: HEAD + body, forwards: [HEAD + framed], answers: [200], closes: false };
}

/** Refused, though the chunks before the fault may have gone on: the backend never gets an end. */
function broken(section: string, must: string, body: string): RequestRow {
  return { section, must, send: HEAD + body, forwards: [], answers: [400], reason: 'bad-chunk', closes: true };
}

/** The chunked coding (RFC 9112 §7.1): read strictly, written anew. */
export const chunks: readonly RequestRow[] = [
  read('9112 §7.1', 'sizes are hex digits', 'A\r\n0123456789\r\n0\r\n\r\n', `a\r\n0123456789\r\n${END}`),
  read('9112 §7.1', 'of either case', 'a\r\n0123456789\r\n0\r\n\r\n', `a\r\n0123456789\r\n${END}`),
  read('9112 §7.1', 'with leading zeros', '0004\r\nbody\r\n000\r\n\r\n', BODY + END),
  read('9112 §7.1', 'chunks keep their order', `${BODY}1\r\n!\r\n${END}`, `${BODY}1\r\n!\r\n${END}`),
  read('9112 §7.1', 'no chunk but the last', END, END),
  read('9112 §7.1', 'CRLF in the data is data', `8\r\n\r\n0\r\n\r\nx\r\n${END}`, `8\r\n\r\n0\r\n\r\nx\r\n${END}`),
  read(
    '9112 §7.1',
    'a request in the data is data',
    `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${END}`,
    `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${END}`,
  ),
  read('9112 §7.1.1', 'extensions are ignored, and not passed on', '4;name=value\r\nbody\r\n0;last\r\n\r\n', BODY + END),
  read('9112 §7.1.1', 'quoted ones too', '4;a="x;y\\"z\t";b\r\nbody\r\n0\r\n\r\n', BODY + END),
  read('9112 §7.1.2', 'trailers pass', `${BODY}0\r\nX-Sum: 1\r\n\r\n`, `${BODY}0\r\nX-Sum: 1\r\n\r\n`),
  read('9112 §7.1.2', 'in their order', `${BODY}0\r\nX-Sum: 1\r\nX-Sum: 0\r\n\r\n`, `${BODY}0\r\nX-Sum: 1\r\nX-Sum: 0\r\n\r\n`),
  ...[
    'Content-Length: 36',
    'Transfer-Encoding: chunked',
    'Host: b',
    'Connection: close',
    'Trailer: x',
    'TE: trailers',
    'Upgrade: h2c',
    'Keep-Alive: 5',
    'Authorization: Basic x',
    'Proxy-Authorization: Basic x',
    'Cookie: a=b',
    'Set-Cookie: a=b',
    'Content-Type: a/b',
    'Content-Encoding: gzip',
    'Content-Range: bytes 0-1/2',
    'Cache-Control: no-store',
    'Max-Forwards: 1',
    'Expect: 100-continue',
    'Range: bytes=0-1',
    'If-Match: *',
    'X-Forwarded-For: 1.1.1.1',
    'X-Forwarded-User: root',
    'X_Forwarded_For: 1.1.1.1',
    'Forwarded: for=1.1.1.1',
    'Via: 1.1 other',
    'X-Request-Id: mine',
    'traceparent: 00-1-2-01',
  ].map((line) =>
    read(
      '9110 §6.5.1',
      `${line.slice(0, line.indexOf(':'))} is no trailer: it does not pass`,
      `${BODY}0\r\n${line}\r\nX-Sum: 1\r\n\r\n`,
      `${BODY}0\r\nX-Sum: 1\r\n\r\n`,
    ),
  ),
  ...(
    [
      ['a size with 0x', '0x4\r\nbody\r\n'],
      ['a size with a sign', '+4\r\nbody\r\n'],
      ['a negative size', '-4\r\nbody\r\n'],
      ['no size', '\r\nbody\r\n'],
      ['a size that is no hex', 'g\r\nbody\r\n'],
      ['a size with an underscore', '0_4\r\nbody\r\n'],
      ['a size that overflows 64 bits', '10000000000000004\r\nbody\r\n'],
      ['a size that overflows 53 bits', '20000000000000\r\nbody\r\n'],
      ['a size of too many zeros', '000000000000004\r\nbody\r\n'],
      ['a size after a space', ' 4\r\nbody\r\n'],
      ['a space after a size', '4 \r\nbody\r\n'],
      ['a tab after a size', '4\t\r\nbody\r\n'],
      ['a NUL after a size', '4\0\r\nbody\r\n'],
      ['a form feed after a size', '4\x0c\r\nbody\r\n'],
      ['a size line that ends in LF', '4\nbody\r\n'],
      ['a size line that ends in CR', '4\rbody\r\n'],
      ['a size line that ends in CR X', '4\rXbody\r\n'],
      ['a size line that ends in CR CR LF', '4\r\r\nbody\r\n'],
      ['a size line that ends in LF CR', '4\n\rbody\r\n'],
      ['data that is longer than its size', '4\r\nbodyx\r\n'],
      ['data that is shorter than its size', '5\r\nbody\r\n0\r\n\r\n'],
      ['data that ends in LF', '4\r\nbody\n'],
      ['data that ends in CR', '4\r\nbody\r'],
      ['data that ends in two bytes that are no CRLF', '4\r\nbodyXX'],
      ['data that ends in nothing', '4\r\nbody'],
      ['a last chunk that ends in LF', '0\n\n'],
      ['a last chunk with LF for its empty line', '0\r\n\n'],
      ['a last chunk with CR X for its empty line', '0\r\n\rX'],
    ] as const
  ).map(([must, body]) => broken('9112 §7.1', `${must} is refused`, `${body}0\r\n\r\n${SMUGGLED}`)),
  ...(
    [
      ['LF in an extension', '4;x\nbody\r\n'],
      ['CR in an extension', '4;x\rbody\r\n'],
      ['NUL in an extension', '4;x\0\r\nbody\r\n'],
      ['an extension without a name', '4;\r\nbody\r\n'],
      ['an extension that is no token', '4;a(b\r\nbody\r\n'],
      ['an extension with an open quote', '4;a="b\r\nbody\r\n'],
      ['LF in a quoted extension', '4;a="b\nc"\r\nbody\r\n'],
      ['white space around an extension, which readers differ about', '4 ; a\r\nbody\r\n'],
      ['16 KiB of extensions', `4;${'x'.repeat(17_000)}\r\nbody\r\n`],
      ['16 KiB of extensions in many chunks', '1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n'.repeat(600)],
    ] as const
  ).map(([must, body]) => broken('9112 §7.1.1', `${must}: refused`, `${body}0\r\n\r\n${SMUGGLED}`)),
  ...(
    [
      ['a trailer that ends in LF', 'X: y\n\r\n'],
      ['a trailer section that ends in LF', 'X: y\r\n\n'],
      ['a trailer that is no field', 'GET /smuggled HTTP/1.1\r\n\r\n'],
      ['a space before the colon', 'X : y\r\n\r\n'],
      ['a folded trailer', 'X: y\r\n z\r\n\r\n'],
      ['white space before the first trailer', ' X: y\r\n\r\n'],
      ['NUL in a trailer', 'X: \0\r\n\r\n'],
      ['CR in a trailer', 'X: a\rb\r\n\r\n'],
      ['33 trailers', `${'X: y\r\n'.repeat(33)}\r\n`],
      ['8 KiB of trailers', `X: ${'y'.repeat(8_200)}\r\n\r\n`],
    ] as const
  ).map(([must, trailers]) => broken('9112 §7.1.2', `${must}: refused`, `${BODY}0\r\n${trailers}${SMUGGLED}`)),
];
