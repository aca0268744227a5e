import * as fc from 'fast-check';

/** A seed makes a failure repeatable; another one is tried with CODEC_SEED. */
export const SEED = Number(process.env.CODEC_SEED ?? 20_260_101);

const TCHARS = "abcXYZ019!#$%&'*+-.^_`|~";
const VALUE_CHARS = 'abc ,;=:"\\()\t\x80\xff09/';
const TARGET_CHARS = 'abc/?=&%.;:@~"<>\\^`{|}[]*';

const text = (chars: string, minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...chars.split('')), minLength, maxLength });

export const token = text(TCHARS, 1, 12);
export const value = text(VALUE_CHARS, 0, 20).map((chars) => chars.trim());

/** Names that mean something to the codec, as clients and attackers write them. */
const knownName = fc.constantFrom(
  'Connection',
  'connection',
  'Keep-Alive',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Upgrade',
  'HTTP2-Settings',
  'Expect',
  'Via',
  'Forwarded',
  'X-Forwarded-For',
  'X_Forwarded_For',
  'X-Forwarded-Host',
  'X-Forwarded-Prefix',
  'x-forwarded-proto',
  'X-Request-ID',
  'traceparent',
  'Cookie',
  'Content_Length',
  'Transfer_Encoding',
  'Set-Cookie',
  'Date',
);
const knownValue = fc.constantFrom(
  'close',
  'keep-alive',
  'Upgrade',
  'x-secret, close',
  'TE, Trailers',
  'trailers',
  '100-continue',
  'websocket',
  'h2c',
  'timeout=5',
  '192.0.2.7',
  '5',
  'chunked',
  '',
);

const anyField = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(token, value) },
  { weight: 3, arbitrary: fc.tuple(knownName, knownValue) },
  { weight: 1, arbitrary: fc.tuple(knownName, value) },
);

const ows = fc.constantFrom('', ' ', '  ', '\t', ' \t ');
const line = (field: fc.Arbitrary<readonly [string, string]>): fc.Arbitrary<string> =>
  fc.tuple(field, ows, ows).map(([[name, text], before, after]) => `${name}:${before}${text}${after}\r\n`);
const fieldLine = line(anyField);

const framing = fc.oneof(
  fc.constant(''),
  fc.nat(99_999).map((length) => `Content-Length: ${length}\r\n`),
  fc.nat(99).map((length) => `content-length:000${length}\r\n`),
  fc.constant('Transfer-Encoding: chunked\r\n'),
);

const host = fc.constantFrom('a', 'Example.com', 'example.com:8080', '[::1]:80', '127.0.0.1', 'a.b.c.');
const path = text(TARGET_CHARS, 0, 30).map((rest) => `/${rest}`);
const target = fc.oneof(
  { weight: 5, arbitrary: path },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('http', 'HTTPS'), host, fc.oneof(fc.constant(''), path, fc.constant('?a')))
      .map(([scheme, at, rest]) => `${scheme}://${at}${rest}`),
  },
);
const method = fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'DELETE'), token);

/** Puts each of `extra` somewhere between the `lines`. */
function mixed(lines: readonly string[], extra: readonly string[], places: readonly number[]): string {
  const all = [...lines];
  for (const [i, one] of extra.entries()) all.splice(places[i] % (all.length + 1), 0, one);
  return all.join('');
}

const places = fc.array(fc.nat(1000), { minLength: 2, maxLength: 2 });

/** Request heads: nearly all are valid, and some are not, for a reason that lies in more than one field. */
export const requestHead = fc
  .tuple(
    fc.constantFrom('', '\r\n', '\r\n\r\n'),
    method,
    target,
    fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
    fc.array(fieldLine, { maxLength: 12 }),
    host,
    framing,
    places,
  )
  .map(
    ([blank, verb, where, version, lines, authority, framed, at]) =>
      `${blank}${verb} ${where} HTTP/${version}\r\n${mixed(lines, [`Host: ${authority}\r\n`, framed], at)}\r\n`,
  );

const status = fc.oneof(fc.integer({ min: 100, max: 599 }), fc.constantFrom(100, 101, 103, 200, 204, 304));

export const responseHead = fc
  .tuple(fc.constantFrom('1.1', '1.1', '1.0'), status, value, fc.array(fieldLine, { maxLength: 12 }), framing, places)
  .map(([version, code, reason, lines, framed, at]) => `HTTP/${version} ${code} ${reason}\r\n${mixed(lines, [framed], at)}\r\n`);

export const asked = fc.record({ head: fc.boolean(), upgrade: fc.boolean() });

/** Offsets at which a message of `length` bytes is cut; sometimes at each. */
export const cutting = fc.oneof({ weight: 1, arbitrary: fc.constant<'each'>('each') }, { weight: 4, arbitrary: fc.array(fc.nat(5000), { maxLength: 8 }) });

export function cutsOf(how: 'each' | readonly number[], length: number): number[] {
  if (how === 'each') return Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1);
  return [...new Set(how.map((at) => (length < 2 ? 0 : 1 + (at % (length - 1)))))].filter((at) => at > 0).sort((a, b) => a - b);
}

const HOSTILE = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '"',
  '\x7f',
  '\x80',
  '0',
  'f',
  'G',
  '_',
  '\r\n ',
  '\r\n\r\n',
  'Host: b\r\n',
  'Content-Length: 1\r\n',
  'Transfer-Encoding: chunked\r\n',
  'HTTP/1.1',
];

export type Mutation = readonly ['insert' | 'replace' | 'delete' | 'double', number, string];

/** A few changes of a message, each of a kind that has broken some parser. */
export const mutations = fc.array(
  fc.tuple(fc.constantFrom<'insert' | 'replace' | 'delete' | 'double'>('insert', 'replace', 'delete', 'double'), fc.nat(5000), fc.constantFrom(...HOSTILE)),
  {
    minLength: 1,
    maxLength: 4,
  },
);

export function mutated(message: string, changes: readonly Mutation[]): string {
  let out = message;
  for (const [kind, place, bytes] of changes) {
    const at = place % (out.length + 1);
    const rest = out.slice(at);
    if (kind === 'insert') out = out.slice(0, at) + bytes + rest;
    else if (kind === 'replace') out = out.slice(0, at) + bytes + rest.slice(bytes.length);
    else if (kind === 'delete') out = out.slice(0, at) + rest.slice(1 + (place % 3));
    else out = out.slice(0, at) + out.slice(Math.max(0, at - 20), at) + rest;
  }
  return out;
}

const quoted = text('abc ;=,\t\x80', 0, 8).map((chars) => `"${chars}\\""`);
const extension = fc
  .tuple(
    token,
    fc.oneof(
      fc.constant(''),
      token.map((chars) => `=${chars}`),
      quoted.map((chars) => `=${chars}`),
    ),
  )
  .map(([name, rest]) => `;${name}${rest}`);

export interface ChunkedBody {
  readonly bytes: string;
  readonly body: string;
  readonly trailers: string | null;
}

/** A valid chunked body with what it says. */
export const chunkedBody: fc.Arbitrary<ChunkedBody> = fc
  .tuple(
    fc.array(fc.tuple(text('ab\r\n0;\0\xff', 1, 300), fc.array(extension, { maxLength: 2 }), fc.nat(3), fc.boolean()), { maxLength: 6 }),
    fc.array(extension, { maxLength: 2 }),
    fc.array(line(fc.tuple(token, value)), { maxLength: 4 }),
  )
  .map(([chunks, lastExtensions, trailers]) => {
    const parts = chunks.map(([data, extensions, zeros, upper]) => {
      const size = data.length.toString(16);
      return `${'0'.repeat(zeros)}${upper ? size.toUpperCase() : size}${extensions.join('')}\r\n${data}\r\n`;
    });
    return {
      bytes: `${parts.join('')}0${lastExtensions.join('')}\r\n${trailers.join('')}\r\n`,
      body: chunks.map(([data]) => data).join(''),
      trailers: trailers.length === 0 ? null : trailers.join(''),
    };
  });
