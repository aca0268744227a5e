import { H, SMUGGLED, pass, refuse } from '../rows.ts';
import type { RequestRow } from '../rows.ts';

const POST = `POST / HTTP/1.1\r\n${H}`;

function lengths(values: readonly string[]): RequestRow[] {
  return values.map((value) =>
    refuse('9110 §8.6', `a Content-Length of ${JSON.stringify(value)} is not valid`, `${POST}Content-Length: ${value}\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  );
}

/** Disguises of Transfer-Encoding: whoever reads one of them as chunks, or does not, must not be set against us. */
function codings(values: readonly string[], reason: string, status: number): RequestRow[] {
  return values.map((value) =>
    refuse('9112 §6.1', `a coding of ${JSON.stringify(value)} is refused`, `${POST}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n${SMUGGLED}`, reason, status),
  );
}

/** The length of a request body (RFC 9112 §6): one reading, or none. */
export const framing: readonly RequestRow[] = [
  refuse('9112 §6.3', 'both framings', `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.3', 'both framings, the other way', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.3', 'both framings, on a GET', `GET / HTTP/1.1\r\n${H}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'bad-framing'),
  refuse('9112 §6.3', 'two lengths', `${POST}Content-Length: 0\r\nContent-Length: 36\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.3', 'two equal lengths', `${POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.3', 'a list of lengths', `${POST}Content-Length: 0, 0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  ...lengths([
    '+4',
    '-1',
    '0x4',
    '4 4',
    '4;',
    '',
    '1e1',
    '4.0',
    '\xb2',
    '\xd9\xa4',
    '99999999999999999999',
    '9007199254740993',
    '9007199254740992',
    '00000000000000000004',
  ]),
  refuse('9112 §6.3', 'a length and another one hidden behind a tab', `${POST}Content-Length:\t4\r\nContent-Length: 0\r\n\r\nbody`, 'bad-framing'),
  pass(
    '9110 §8.6',
    'white space around a length is not part of it',
    `${POST}Content-Length: \t 4 \t\r\n\r\nbody`,
    `${POST}Content-Length: \t 4 \t\r\n\r\nbody`,
  ),
  pass('9110 §8.6', 'leading zeros are valid, and not passed on', `${POST}Content-Length: 0004\r\n\r\nbody`, `${POST}Content-Length: 4\r\n\r\nbody`),
  pass('9112 §6.3', 'a length of zero is a body of none', `${POST}Content-Length: 0\r\n\r\n`, `${POST}Content-Length: 0\r\n\r\n`),
  pass('9112 §6.3', 'no framing field, no body: what follows is the next request', `${POST}\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, [
    `${POST}\r\n`,
    `GET /2 HTTP/1.1\r\n${H}\r\n`,
  ]),
  ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'PROPFIND'].flatMap((method): RequestRow[] => [
    pass(
      '9110 §9.3.1',
      `the body of a ${method} stays its body`,
      `${method} / HTTP/1.1\r\n${H}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
      `${method} / HTTP/1.1\r\n${H}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    ),
    pass(
      '9112 §6.1',
      `the chunks of a ${method} stay its body, framed by us`,
      `${method} / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      `${method} / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ),
  ]),
  pass('9112 §7', 'names of codings have no case', `${POST}transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n`, `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  ...codings(
    ['gzip', 'identity', 'gzip, chunked', 'chunked, gzip', 'chunked, identity', 'identity, chunked', 'chunked, chunked', 'xchunked', 'chunkedx', 'x', 'cow'],
    'not-implemented',
    501,
  ),
  ...codings(
    [
      'chunked;q=1',
      'chunked;',
      ';chunked',
      ',chunked',
      'chunked,',
      ' , chunked',
      '"chunked"',
      "'chunked'",
      'chunk ed',
      'chunked\t,',
      'chunked x',
      '[chunked]',
      'chun\xadked',
      '\xa0chunked',
      'chunked\x85',
      'nonchunked, chunked',
    ],
    'not-implemented',
    501,
  ),
  ...codings(['\x0bchunked', 'chunked\x0b', '\x0cchunked', '\0chunked', 'chunked\0', 'chun\x7fked', 'chunked\x1f'], 'bad-field', 400),
  refuse('9112 §6.1', 'an empty coding', `${POST}Transfer-Encoding:\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.1', 'two codings', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.1', 'two codings, one unknown', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse('9112 §6.1', 'chunks in HTTP/1.0', `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-framing'),
  refuse(
    '9112 §6.1',
    'chunks in HTTP/1.0 that is kept alive',
    `POST / HTTP/1.0\r\n${H}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'bad-framing',
  ),
  ...['Transfer_Encoding', 'transfer_encoding', 'Content_Length', 'Content_length'].map((name) =>
    pass('advisories', `${name} frames nothing, and might for others: it is dropped`, `${POST}${name}: 36\r\n\r\n`, `${POST}\r\n`),
  ),
  ...['Transfer.Encoding', 'Transfer-Encodin', 'XTransfer-Encoding', 'Transfer-Encoding-', 'Content-Lengthy', 'Content+Length'].map((name) =>
    pass('9110 §5.1', `${name} is another field`, `${POST}${name}: chunked\r\n\r\n`, `${POST}${name}: chunked\r\n\r\n`),
  ),
  ...[
    'Transfer-Encoding ',
    'Transfer-Encoding\t',
    ' Transfer-Encoding',
    '\tTransfer-Encoding',
    'Transfer\rEncoding',
    'Transfer-Encoding\0',
    'Transfer-Encoding\x0b',
    '\xa0Transfer-Encoding',
    'Content-Length ',
    'Content-Length\0',
  ].map((name) => refuse('9112 §5.1', `${JSON.stringify(name)} is no field name`, `${POST}X: y\r\n${name}: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-field')),
  refuse('9112 §5.2', 'a folded coding', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-field'),
  refuse('9112 §2.2', 'a coding behind a bare LF', `${POST}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-field'),
  refuse('9112 §2.2', 'a coding behind a bare CR', `${POST}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 'bad-field'),
  pass(
    '9110 §7.6.1',
    'a length that Connection names is kept',
    `${POST}Connection: Content-Length\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    `${POST}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  ),
  pass(
    '9110 §7.6.1',
    'a coding that Connection names is kept',
    `${POST}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`,
    `${POST}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`,
  ),
];
