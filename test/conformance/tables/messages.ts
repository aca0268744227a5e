import { H, pass, refuse } from '../rows.ts';
import type { RequestRow } from '../rows.ts';

const GET = `GET / HTTP/1.1\r\n${H}`;
const POST = `POST / HTTP/1.1\r\n${H}`;
const OPTIONS = `OPTIONS / HTTP/1.1\r\n${H}`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

function dropped(section: string, must: string, lines: string): RequestRow {
  return pass(section, must, `${GET}X: 1\r\n${lines}Y: 2\r\n\r\n`, `${GET}X: 1\r\nY: 2\r\n\r\n`);
}

/** What belongs to one connection only (RFC 9110 §7.6.1, §7.8, §10.1.4), and what no stranger may say. */
export const hops: readonly RequestRow[] = [
  dropped('9110 §7.6.1', 'Connection and what it names are removed', 'Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nx-hop: 2\r\n'),
  dropped('9110 §7.6.1', 'named in several lines, with empty elements', 'Connection: ,X-Hop,,\r\nconnection: x-two ,\r\nX-Hop: 1\r\nX-Two: 2\r\n'),
  dropped('9110 §7.6.1', 'named after it was said', 'X-Hop: 1\r\nConnection: x-hop\r\n'),
  dropped(
    '9110 §7.6.1',
    'Keep-Alive, Proxy-Connection, TE and Upgrade are removed, named or not',
    'Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\nUpgrade: x\r\n',
  ),
  dropped('9110 §10.1.4', 'TE with more than trailers is removed', 'TE: trailers, gzip\r\nConnection: TE\r\n'),
  pass('9110 §10.1.4', 'TE: trailers is said anew', `${GET}TE: Trailers\r\nConnection: te\r\n\r\n`, `${GET}Connection: TE\r\nTE: trailers\r\n\r\n`),
  ...['Host', 'Authorization', 'Cookie', 'Cache-Control', 'Content-Type', 'Accept'].map((name) =>
    pass(
      '9110 §7.6.1',
      `${name} cannot be named away`,
      `GET / HTTP/1.1\r\n${name === 'Host' ? '' : `${name}: a\r\n`}${H}Connection: ${name.toLowerCase()}\r\n\r\n`,
      `GET / HTTP/1.1\r\n${name === 'Host' ? '' : `${name}: a\r\n`}${H}\r\n`,
    ),
  ),
  pass('9110 §7.6.1', 'nor can what we say', `${GET}Connection: X-Forwarded-For, Via, Forwarded, X-Request-Id\r\n\r\n`, `${GET}\r\n`),
  pass(
    '9110 §7.6.1',
    'trailers do not pass where Connection might name them',
    `${POST}Connection: X-Sum\r\n${CHUNKED}\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n`,
    `${POST}${CHUNKED}\r\n1\r\nx\r\n0\r\n\r\n`,
  ),
  refuse('9110 §7.6.1', 'Connection that is no list', `${GET}Connection: a b\r\n\r\n`, 'bad-field'),
  refuse('9110 §7.6.1', 'Connection with a quoted element', `${GET}Connection: "close"\r\n\r\n`, 'bad-field'),
  dropped('9110 §7.8', 'an upgrade to HTTP/2 is not passed on', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
  dropped('9110 §7.8', 'nor in a list', 'Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n'),
  dropped('9110 §7.8', 'nor when it is said twice', 'Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n'),
  dropped('9110 §7.8', 'an upgrade that Connection does not name is none', 'Upgrade: websocket\r\n'),
  pass('9110 §7.8', 'an upgrade in HTTP/1.0 is none', `GET / HTTP/1.0\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, `${GET}\r\n`, {
    closes: true,
  }),
  pass('9110 §7.8', 'an upgrade passes', `${GET}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`, `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`),
  pass('9110 §7.8', 'until it is accepted, what follows is HTTP', `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, [
    `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    `GET /2 HTTP/1.1\r\n${H}\r\n`,
  ]),
  pass(
    '9110 §7.8',
    'an upgrade with a body goes on as a plain request',
    `${POST}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx`,
    `${POST}Content-Length: 1\r\n\r\nx`,
  ),
  dropped(
    '7239 §8',
    'what a stranger says of itself is not believed',
    'X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n',
  ),
  dropped('advisories', 'under no other name', 'X_Forwarded_For: 10.0.0.1\r\nx-forwarded_for: 10.0.0.1\r\nX_Real_IP: 10.0.0.1\r\nX_Request_Id: mine\r\n'),
  dropped(
    '9110 §7.6.3',
    'nor its Via, id and trace',
    'Via: 1.0 evil\r\nX-Request-Id: mine\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n',
  ),
  dropped('9110 §6.6.2', 'Trailer of a body that has no chunks is removed', 'Trailer: X-Sum\r\n'),
  pass(
    '9110 §6.6.2',
    'Trailer of one that has some passes',
    `${POST}Trailer: X-Sum\r\n${CHUNKED}\r\n0\r\n\r\n`,
    `${POST}Trailer: X-Sum\r\n${CHUNKED}\r\n0\r\n\r\n`,
  ),
];

/** Methods, expectations, Max-Forwards (RFC 9110 §7.6.2, §9, §10.1.1). */
export const semantics: readonly RequestRow[] = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'get', 'X-NEW', '!#$'].map((method) =>
    pass('9110 §9.1', `${method} passes, letter case and all`, `${method} / HTTP/1.1\r\n${H}\r\n`, `${method} / HTTP/1.1\r\n${H}\r\n`),
  ),
  {
    section: '9110 §9.3.8',
    must: 'TRACE is not served',
    send: `TRACE / HTTP/1.1\r\n${H}\r\n`,
    forwards: [],
    answers: [405],
    reason: 'method-refused',
    closes: false,
  },
  {
    section: '9110 §7.6.2',
    must: 'TRACE with Max-Forwards of 0 ends here',
    send: `TRACE / HTTP/1.1\r\n${H}Max-Forwards: 0\r\n\r\n`,
    forwards: [],
    answers: [405],
    reason: 'method-refused',
    closes: false,
  },
  {
    section: '9110 §7.6.2',
    must: 'OPTIONS with Max-Forwards of 0 is answered here',
    send: `${OPTIONS}Max-Forwards: 0\r\n\r\n`,
    forwards: [],
    answers: [200],
    reason: 'max-forwards',
    closes: false,
  },
  {
    section: '9110 §7.6.2',
    must: 'for the whole server too',
    send: `OPTIONS * HTTP/1.1\r\n${H}Max-Forwards: 000\r\n\r\n`,
    forwards: [],
    answers: [200],
    reason: 'max-forwards',
    closes: false,
  },
  pass(
    '9110 §7.6.2',
    'Max-Forwards of OPTIONS is one less',
    `${OPTIONS}X: 1\r\nMax-Forwards: 10\r\nY: 2\r\n\r\n`,
    `${OPTIONS}X: 1\r\nY: 2\r\nMax-Forwards: 9\r\n\r\n`,
  ),
  pass('9110 §7.6.2', 'down to 0', `${OPTIONS}max-forwards: 1\r\n\r\n`, `${OPTIONS}Max-Forwards: 0\r\n\r\n`),
  pass('9110 §7.6.2', 'of other methods it is left alone', `${GET}Max-Forwards: 0\r\n\r\n`, `${GET}Max-Forwards: 0\r\n\r\n`),
  refuse('9110 §7.6.2', 'Max-Forwards that is no number', `${OPTIONS}Max-Forwards: -1\r\n\r\n`, 'bad-field'),
  refuse('9110 §7.6.2', 'two of them', `${OPTIONS}Max-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n`, 'bad-field'),
  pass(
    '9110 §10.1.1',
    '100-continue passes',
    `${POST}Expect: 100-Continue\r\nContent-Length: 4\r\n\r\nbody`,
    `${POST}Expect: 100-Continue\r\nContent-Length: 4\r\n\r\nbody`,
  ),
  pass(
    '9110 §10.1.1',
    'from HTTP/1.0 it is ignored',
    `POST / HTTP/1.0\r\n${H}Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody`,
    `${POST}Content-Length: 4\r\n\r\nbody`,
    { closes: true },
  ),
  refuse('9110 §10.1.1', 'another expectation', `${POST}Expect: 200-ok\r\nContent-Length: 4\r\n\r\nbody`, 417),
  refuse('9110 §10.1.1', 'another expectation beside it', `${POST}Expect: 100-continue, x\r\nContent-Length: 4\r\n\r\nbody`, 417),
];

/** Persistence and order (RFC 9112 §9). */
export const connections: readonly RequestRow[] = [
  pass('9112 §9.3.2', 'two requests in one packet are answered in order', `GET /1 HTTP/1.1\r\n${H}\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, [
    `GET /1 HTTP/1.1\r\n${H}\r\n`,
    `GET /2 HTTP/1.1\r\n${H}\r\n`,
  ]),
  pass('9112 §9.6', 'nothing after Connection: close is processed', `${GET}Connection: close\r\n\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, `${GET}\r\n`, {
    closes: true,
  }),
  pass('9112 §9.6', 'whatever else Connection says', `${GET}Connection: keep-alive, Close\r\n\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, `${GET}\r\n`, { closes: true }),
  pass('9112 §9.3', 'HTTP/1.0 closes', `GET / HTTP/1.0\r\n${H}\r\nGET /2 HTTP/1.0\r\n${H}\r\n`, `${GET}\r\n`, { closes: true }),
  pass('9112 §9.3', 'HTTP/1.0 that is kept alive does not', `GET / HTTP/1.0\r\n${H}Connection: Keep-Alive\r\n\r\n`, `${GET}\r\n`),
  pass('9112 §9.3', 'close wins over keep-alive in HTTP/1.0', `GET / HTTP/1.0\r\n${H}Connection: keep-alive, close\r\n\r\n`, `${GET}\r\n`, { closes: true }),
  pass('9112 §9.3', 'Proxy-Connection keeps nothing alive', `GET / HTTP/1.0\r\n${H}Proxy-Connection: keep-alive\r\n\r\n`, `${GET}\r\n`, { closes: true }),
  {
    section: '9112 §9.6',
    must: 'after a refusal nothing is processed',
    send: `GET /1 HTTP/1.1\r\n${H}\r\nGET / HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n${H}\r\n`,
    forwards: [`GET /1 HTTP/1.1\r\n${H}\r\n`],
    answers: [200, 400],
    reason: 'bad-host',
    closes: true,
  },
  {
    section: '9110 §9.3.8',
    must: 'after a well-formed request that is not served, the next is',
    send: `TRACE / HTTP/1.1\r\n${H}\r\nGET /2 HTTP/1.1\r\n${H}\r\n`,
    forwards: [`GET /2 HTTP/1.1\r\n${H}\r\n`],
    answers: [405, 200],
    closes: false,
  },
  {
    section: '9112 §9.3',
    must: 'its body is not the next request',
    send: `TRACE / HTTP/1.1\r\n${H}Content-Length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`,
    forwards: [],
    answers: [405],
    reason: 'method-refused',
    closes: true,
  },
];
