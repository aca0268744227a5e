import { H, bad, relays } from '../rows.ts';
import type { ResponseRow } from '../rows.ts';

const OK = 'HTTP/1.1 200 OK\r\n';
const L2 = 'Content-Length: 2\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const HEAD = `HEAD / HTTP/1.1\r\n${H}\r\n`;
/** A whole answer that nobody asked for. */
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
const same = (section: string, must: string, bytes: string, more: Partial<ResponseRow> = {}): ResponseRow => relays(section, must, bytes, bytes, more);
const cut = (section: string, must: string, sends: string): ResponseRow => ({ section, must, sends, ends: true, client: 'cut', reuses: false });
const lost = (section: string, must: string, sends: string): ResponseRow => ({
  section,
  must,
  sends,
  ends: true,
  client: { status: 502, reason: 'reset' },
  reuses: false,
});

/** Status line and fields of an answer (RFC 9112 §4, §5; RFC 9110 §15). */
export const heads: readonly ResponseRow[] = [
  same('9112 §4', 'the reason passes as it is', `HTTP/1.1 200 All \xe9 \t!\r\n${L2}\r\nok`),
  same('9112 §4', 'an empty reason too', `HTTP/1.1 200 \r\n${L2}\r\nok`),
  ...[200, 201, 202, 203, 206, 226, 299, 300, 301, 307, 308, 399, 400, 401, 404, 407, 418, 421, 426, 429, 451, 499, 500, 501, 503, 599].map((status) =>
    same('9110 §15', `${status} passes as it is`, `HTTP/1.1 ${status} Status\r\n${L2}\r\nok`),
  ),
  relays('9112 §2.3', 'HTTP/1.0 becomes HTTP/1.1', `HTTP/1.0 200 OK\r\n${L2}\r\nok`, `${OK}${L2}\r\nok`, { reuses: false, ends: true }),
  relays('9112 §9.3', 'HTTP/1.0 that is kept alive is used again', `HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n${L2}\r\nok`, `${OK}${L2}\r\nok`),
  relays('9112 §9.6', 'a backend that says it closes is not used again', `${OK}Connection: close\r\n${L2}\r\nok`, `${OK}${L2}\r\nok`, { reuses: false }),
  same(
    '9110 §5.3',
    'Set-Cookie and all other fields keep their order, and are not merged',
    `${OK}Set-Cookie: a=1\r\nVary: b\r\nset-cookie: c=2\r\nVary: d\r\n${L2}\r\nok`,
  ),
  same('9110 §5.5', 'bytes over 127 pass', `${OK}X: caf\xe9\r\n${L2}\r\nok`),
  same('9110 §5.4', 'as many as 256 fields', `${OK}${'X: y\r\n'.repeat(255)}${L2}\r\nok`),
  relays(
    '9110 §7.6.1',
    'what is between the backend and the proxy stays there',
    `${OK}Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=60\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nTE: x\r\nServer: s\r\n${L2}\r\nok`,
    `${OK}Server: s\r\n${L2}\r\nok`,
  ),
  relays('advisories', 'names that alias others do not pass', `${OK}Content_Length: 9\r\nTransfer_Encoding: chunked\r\n${L2}\r\nok`, `${OK}${L2}\r\nok`),
  relays('9110 §8.6', 'leading zeros of a length are not passed on', `${OK}Content-Length: 0002\r\n\r\nok`, `${OK}${L2}\r\nok`),
  ...(
    [
      ['9112 §2.2', 'LF only', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
      ['9112 §2.2', 'LF after a field', `${OK}X: y\n${L2}\r\nok`],
      ['9112 §2.2', 'LF at the end of the head', `${OK}${L2}\nok`],
      ['9112 §2.2', 'an empty line before the status line', `\r\n${OK}${L2}\r\nok`],
      ['9112 §2.2', 'CR in a field', `${OK}X: y\rContent-Length: 0\r\n\r\n${POISON}`],
      ['9112 §4', 'CR in the reason', `HTTP/1.1 200 O\rK\r\n${L2}\r\nok`],
      ['9110 §5.5', 'NUL in a field', `${OK}X: a\0b\r\n${L2}\r\nok`],
      ['9110 §5.5', 'a control byte in a field', `${OK}X: a\x1bb\r\n${L2}\r\nok`],
      ['9112 §5.2', 'a folded field', `${OK}X: a\r\n b\r\n${L2}\r\nok`],
      ['9112 §2.2', 'a fold before any field', `${OK} X: a\r\n${L2}\r\nok`],
      ['9112 §5.1', 'a space before a colon', `${OK}Content-Length : 2\r\n\r\nok`],
      ['9112 §5', 'a field without a colon', `${OK}nonsense\r\n${L2}\r\nok`],
      ['9110 §5.1', 'a name that is no token', `${OK}X(y): z\r\n${L2}\r\nok`],
      ['9110 §5.1', 'a field without a name', `${OK}: z\r\n${L2}\r\nok`],
      ['9112 §2.3', 'HTTP/2', `HTTP/2.0 200 OK\r\n${L2}\r\nok`],
      ['9112 §2.3', 'HTTP/1.2', `HTTP/1.2 200 OK\r\n${L2}\r\nok`],
      ['9112 §2.3', 'HTTP/0.9', 'just a body'],
      ['9112 §4', 'another protocol', `ICY 200 OK\r\n${L2}\r\nok`],
      ['9112 §4', 'no space after the status', `HTTP/1.1 200\r\n${L2}\r\nok`],
      ['9112 §4', 'two spaces before the status', `HTTP/1.1  200 OK\r\n${L2}\r\nok`],
      ['9112 §4', 'a status of two digits', `HTTP/1.1 20 OK\r\n${L2}\r\nok`],
      ['9112 §4', 'a status of four digits', `HTTP/1.1 2000 OK\r\n${L2}\r\nok`],
      ['9112 §4', 'a status that is no number', `HTTP/1.1 2x0 OK\r\n${L2}\r\nok`],
      ['9110 §15', 'status 099', `HTTP/1.1 099 Odd\r\n${L2}\r\nok`],
      ['9110 §15', 'status 600', `HTTP/1.1 600 Odd\r\n${L2}\r\nok`],
      ['9110 §15', 'status 000', `HTTP/1.1 000 Odd\r\n${L2}\r\nok`],
      ['9112 §4', 'a control byte in the reason', `HTTP/1.1 200 O\x01K\r\n${L2}\r\nok`],
      ['9110 §7.6.1', 'Connection that is no list', `${OK}Connection: a b\r\n${L2}\r\nok`],
      ['9110 §5.4', 'too many fields', `${OK}${'X: y\r\n'.repeat(257)}${L2}\r\nok`],
      ['9110 §5.4', 'a field too large', `${OK}X: ${'y'.repeat(70_000)}\r\n${L2}\r\nok`],
      ['9112 §4', 'a reason too large', `HTTP/1.1 200 ${'y'.repeat(70_000)}\r\n${L2}\r\nok`],
      ['9110 §5.4', 'a megabyte of fields', `${OK}${'X: y\r\n'.repeat(170_000)}`],
    ] as const
  ).map(([section, must, sends]) => bad(section, `${must}: 502`, sends)),
  lost('9112 §8', 'half a head', `${OK}Content-Le`),
  lost('9112 §8', 'half a status line', 'HTTP/1.1 2'),
  lost('9112 §8', 'nothing', ''),
];

/** The length of the body of an answer (RFC 9112 §6.3, §7, §8). */
export const bodies: readonly ResponseRow[] = [
  same('9112 §6.3', 'a length', `${OK}${L2}\r\nok`),
  same('9112 §6.3', 'of zero', `${OK}Content-Length: 0\r\n\r\n`),
  relays(
    '9112 §7.1',
    'chunks pass, framed by us, without extensions',
    `${OK}Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0;c\r\n\r\n`,
    `${OK}${CHUNKED}\r\nok`,
  ),
  {
    section: '9112 §7.1.2',
    must: 'trailers pass, but for those that frame, route or control',
    sends: `${OK}Trailer: X-Sum\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n`,
    client: { bytes: `${OK}Trailer: X-Sum\r\n${CHUNKED}\r\nok`, trailers: ['X-Sum: 1'] },
    reuses: true,
  },
  {
    section: '9110 §7.6.1',
    must: 'no trailers pass where Connection might name them',
    sends: `${OK}Connection: X-Sum\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`,
    client: { bytes: `${OK}${CHUNKED}\r\nok`, trailers: [] },
    reuses: true,
  },
  relays('9112 §6.3', 'neither: to the end of the connection, chunked by us', `${OK}\r\nto the end`, `${OK}${CHUNKED}\r\nto the end`, {
    ends: true,
    reuses: false,
  }),
  relays('9112 §6.3', 'an empty body to the end', `${OK}\r\n`, `${OK}${CHUNKED}\r\n`, { ends: true, reuses: false }),
  relays('9112 §6.3', 'HTTP/1.0 to the end', 'HTTP/1.0 200 OK\r\n\r\nto the end', `${OK}${CHUNKED}\r\nto the end`, { ends: true, reuses: false }),
  relays(
    '9112 §6.1',
    'no chunks to a client of HTTP/1.0: the end of the connection is the end',
    `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`,
    `${OK}Connection: close\r\n\r\nok`,
    {
      request: `GET / HTTP/1.0\r\n${H}Connection: keep-alive\r\n\r\n`,
      closes: true,
    },
  ),
  relays('9112 §9.3', 'a length lets HTTP/1.0 stay', `${OK}${L2}\r\nok`, `${OK}${L2}Connection: keep-alive\r\n\r\nok`, {
    request: `GET / HTTP/1.0\r\n${H}Connection: keep-alive\r\n\r\n`,
  }),
  same('9112 §6.3', 'HEAD has a length and no body', `${OK}Content-Length: 500\r\n\r\n`, { request: HEAD }),
  relays('9112 §6.3', 'HEAD with chunks has none of them', `${OK}${CHUNKED}\r\n`, `${OK}\r\n`, { request: HEAD }),
  same('9112 §6.3', 'HEAD without anything', `${OK}\r\n`, { request: HEAD }),
  relays('9112 §6.3', 'a body behind HEAD is nobody’s', `${OK}${L2}\r\nok`, `${OK}${L2}\r\n`, { request: HEAD, reuses: false }),
  same('9112 §6.3', '204 has no body', 'HTTP/1.1 204 No Content\r\n\r\n'),
  relays('9112 §6.1', '204 has no framing', `HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n`, 'HTTP/1.1 204 No Content\r\n\r\n'),
  relays('9112 §6.1', 'of neither kind', `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n`, 'HTTP/1.1 204 No Content\r\n\r\n'),
  relays('9112 §6.3', 'a body behind 204 is nobody’s', `HTTP/1.1 204 No Content\r\n${L2}\r\nok`, 'HTTP/1.1 204 No Content\r\n\r\n', { reuses: false }),
  same('9112 §6.3', '304 has a length and no body', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n'),
  relays('9112 §6.3', '304 with chunks has none of them', `HTTP/1.1 304 Not Modified\r\n${CHUNKED}\r\n`, 'HTTP/1.1 304 Not Modified\r\n\r\n'),
  relays('9112 §6.3', 'a body behind 304 is nobody’s', `HTTP/1.1 304 Not Modified\r\n${L2}\r\nok`, `HTTP/1.1 304 Not Modified\r\n${L2}\r\n`, { reuses: false }),
  same('9110 §15.3.6', '205 with a length of zero', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'),
  ...(
    [
      ['9112 §6.3', 'both framings', `${OK}${L2}${CHUNKED}\r\n0\r\n\r\n`],
      ['9112 §6.3', 'both framings, the other way', `${OK}${CHUNKED}${L2}\r\n0\r\n\r\n`],
      ['9112 §6.3', 'two lengths', `${OK}Content-Length: 0\r\n${L2}\r\nok`],
      ['9112 §6.3', 'two equal lengths', `${OK}${L2}${L2}\r\nok`],
      ['9112 §6.3', 'a list of lengths', `${OK}Content-Length: 2, 2\r\n\r\nok`],
      ...['-2', '+2', '0x2', '2x', '', '2 2', '9007199254740993', '99999999999999999999'].map(
        (value) => ['9110 §8.6', `a length of "${value}"`, `${OK}Content-Length: ${value}\r\n\r\nok`] as const,
      ),
      ...['gzip', 'gzip, chunked', 'chunked, chunked', 'identity', 'xchunked', 'chunked;a', '', '"chunked"'].map(
        (value) => ['9112 §6.1', `a coding of "${value}"`, `${OK}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`] as const,
      ),
      ['9112 §6.1', 'two codings', `${OK}${CHUNKED}${CHUNKED}\r\n0\r\n\r\n`],
      ['9112 §6.1', 'chunks in HTTP/1.0', `HTTP/1.0 200 OK\r\n${CHUNKED}\r\n0\r\n\r\n`],
      ...['z', '-2', '+2', '0x2', ' 2', '2 ', '2\t', '', '20000000000000', '10000000000000002'].map(
        (size) => ['9112 §7.1', `a first chunk size of "${size}"`, `${OK}${CHUNKED}\r\n${size}\r\nok\r\n0\r\n\r\n`] as const,
      ),
      ['9112 §7.1', 'a first size line that ends in LF', `${OK}${CHUNKED}\r\n2\nok\r\n0\r\n\r\n`],
      ['9112 §7.1', 'a first chunk that is longer than its size', `${OK}${CHUNKED}\r\n2\r\nokX\r\n0\r\n\r\n`],
      ['9112 §7.1.1', 'a first chunk with a bad extension', `${OK}${CHUNKED}\r\n2;x\nok\r\n0\r\n\r\n`],
      ['9112 §7.1.2', 'a bad trailer in one piece with the head', `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\nX : y\r\n\r\n`],
    ] as const
  ).map(([section, must, sends]) => bad(section, `${must}: 502`, sends)),
  cut('9112 §8', 'less than its length', `${OK}Content-Length: 10\r\n\r\nhalf`),
  cut('9112 §8', 'chunks without the last', `${OK}${CHUNKED}\r\n4\r\nhalf\r\n`),
  cut('9112 §8', 'half a chunk', `${OK}${CHUNKED}\r\n8\r\nhalf`),
  cut('9112 §8', 'half a trailer', `${OK}${CHUNKED}\r\n4\r\nhalf\r\n0\r\nX: y\r\n`),
  { ...cut('9112 §7.1', 'a bad chunk after some of the answer was sent', `${OK}${CHUNKED}\r\n4\r\nhalf\r\n`), later: 'zz\r\n', ends: false },
  { ...cut('9112 §8', 'HTTP/1.0 clients see a cut too: a reset, not an end', `${OK}${CHUNKED}\r\n4\r\nhalf\r\n`), request: `GET / HTTP/1.0\r\n${H}\r\n` },
];

/** Interim answers, switches, and what nobody asked for (RFC 9110 §15.2, §7.8; RFC 9112 §9.2). */
export const surprises: readonly ResponseRow[] = [
  same('9110 §15.2', '100 passes', `HTTP/1.1 100 Continue\r\n\r\n${OK}${L2}\r\nok`),
  same('9110 §15.2', '103 passes, with its fields', `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n${OK}${L2}\r\nok`),
  same('9110 §15.2', 'any 1xx passes, ten of them', `${'HTTP/1.1 199 Odd\r\nX: y\r\n\r\n'.repeat(10)}${OK}${L2}\r\nok`),
  relays(
    '9112 §6.1',
    '1xx has no framing',
    `HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\nConnection: X\r\nX: y\r\n\r\n${OK}${L2}\r\nok`,
    `HTTP/1.1 103 Early Hints\r\n\r\n${OK}${L2}\r\nok`,
  ),
  relays('9110 §15.2', 'none goes to HTTP/1.0', `HTTP/1.1 100 Continue\r\n\r\n${OK}${L2}\r\nok`, `${OK}${L2}Connection: close\r\n\r\nok`, {
    request: `GET / HTTP/1.0\r\n${H}\r\n`,
    closes: true,
  }),
  bad('9110 §15.2', 'eleven are a flood', `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(11)}${OK}${L2}\r\nok`),
  bad('9110 §15.2', 'a thousand too', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000)),
  bad('9112 §6.3', 'a body behind 1xx is no answer', `HTTP/1.1 103 Early Hints\r\n${L2}\r\nok${OK}${L2}\r\nok`),
  bad('9110 §15.2.2', 'a switch that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  bad('9110 §7.8', 'nor one to a client that only named it', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', {
    request: `GET / HTTP/1.1\r\n${H}Upgrade: websocket\r\n\r\n`,
  }),
  bad('9110 §7.8', 'nor one to a client of HTTP/1.0', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', {
    request: `GET / HTTP/1.0\r\n${H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
    closes: true,
  }),
  relays('9110 §7.8', 'an upgrade may be declined', `${OK}${L2}\r\nok`, `${OK}${L2}\r\nok`, {
    request: `GET / HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
  }),
  relays('9112 §9.2', 'a second answer at once is nobody’s', `${OK}${L2}\r\nok${POISON}`, `${OK}${L2}\r\nok`, { reuses: false }),
  relays('9112 §9.2', 'one byte too many too', `${OK}${L2}\r\nok!`, `${OK}${L2}\r\nok`, { reuses: false }),
  relays('9112 §9.2', 'an empty line too', `${OK}${L2}\r\nok\r\n`, `${OK}${L2}\r\nok`, { reuses: false }),
  relays('9112 §9.2', 'after chunks', `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${POISON}`, `${OK}${CHUNKED}\r\nok`, { reuses: false }),
  relays('9112 §9.2', 'after 204', `HTTP/1.1 204 No Content\r\n\r\n${POISON}`, 'HTTP/1.1 204 No Content\r\n\r\n', { reuses: false }),
  relays('9112 §9.2', 'after 304', `HTTP/1.1 304 Not Modified\r\n\r\n${POISON}`, 'HTTP/1.1 304 Not Modified\r\n\r\n', { reuses: false }),
  relays('9112 §9.2', 'after HEAD', `${OK}${L2}\r\n${POISON}`, `${OK}${L2}\r\n`, { request: HEAD, reuses: false }),
  relays('9112 §9.2', 'a second answer later is nobody’s', `${OK}${L2}\r\nok`, `${OK}${L2}\r\nok`, { later: POISON, reuses: false }),
  relays('9112 §9.5', 'nor a 408 for the idle connection', `${OK}${L2}\r\nok`, `${OK}${L2}\r\nok`, {
    later: 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n',
    reuses: false,
  }),
  relays('9112 §9.2', 'nor a byte', `${OK}${L2}\r\nok`, `${OK}${L2}\r\nok`, { later: '\n', reuses: false }),
  relays('9112 §9.5', 'a backend that ends while idle is not used again', `${OK}${L2}\r\nok`, `${OK}${L2}\r\nok`, { ends: true, reuses: false }),
];
