import t from 'tap';
import { FAILURE, FAILURE_LIST, REDIRECT, REJECT, REJECT_LIST } from '../../src/errors/catalogue.ts';
import type { Fault } from '../../src/errors/catalogue.ts';
import { grpcFields } from '../../src/http/grpc.ts';
import { formFor, ownAnswer } from '../../src/http/own-answer.ts';
import type { AnswerStyle } from '../../src/http/own-answer.ts';
import { latin1, parsedRequest, PLAIN, readResponse } from './parsed.ts';

const DATE = latin1('Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n');
const TEXT: AnswerStyle = { form: 'text', close: false, head: false, date: DATE };

function answer(fault: Fault, style: Partial<AnswerStyle> = {}): { head: string[]; body: string } {
  const [head, body] = ownAnswer(fault, { ...TEXT, ...style })
    .toString('latin1')
    .split('\r\n\r\n');
  return { head: head.split('\r\n'), body };
}

t.test('plain text', async (t) => {
  const { head, body } = answer(REJECT.noRoute);
  t.strictSame(head, [
    'HTTP/1.1 404 Not Found',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${body.length}`,
    'Proxy-Status: switchyard; error=destination_not_found; details="no-route"',
    'Cache-Control: no-store',
    'Date: Thu, 01 Jan 1970 00:00:00 GMT',
  ]);
  t.equal(body, '404 Not Found: No route matches this host and path.\n');
});

t.test('JSON', async (t) => {
  const { head, body } = answer(FAILURE.dialTimeout, { form: 'json' });
  t.ok(head.includes('Content-Type: application/json; charset=utf-8'));
  t.strictSame(JSON.parse(body), { status: 504, code: 'dial-timeout', detail: FAILURE.dialTimeout.text });
});

t.test('an answer to HEAD has the length and no body', async (t) => {
  const { head, body } = answer(REJECT.noRoute, { head: true });
  t.equal(body, '');
  t.strictSame(head, answer(REJECT.noRoute).head);
});

t.test('what comes with some', async (t) => {
  t.ok(answer(REJECT.noRoute, { close: true }).head.includes('Connection: close'));
  t.ok(answer(REJECT.unavailable).head.includes('Retry-After: 1'), '503 says when to come again');
  t.notOk(
    answer(FAILURE.reset).head.some((line) => line.startsWith('Retry-After')),
    '502 does not',
  );
  t.ok(
    answer(REJECT.methodRefused).head.some((line) => line.startsWith('Allow: GET, ')),
    '405 says what is served',
  );
});

t.test('every fault of the data plane makes a valid answer with its reason', async (t) => {
  for (const fault of [...REJECT_LIST, ...FAILURE_LIST]) {
    for (const style of [{}, { form: 'json' as const }, { head: true, close: true }]) {
      const bytes = ownAnswer(fault, { ...TEXT, ...style });
      const found = readResponse(bytes, { ...PLAIN, head: 'head' in style });
      if (typeof found === 'string') throw new Error(`${fault.code}: ${found}`);
      t.match(found, { status: fault.status, body: 'head' in style ? 'none' : 'length', keepAlive: !('close' in style), dated: true }, fault.code);
      t.not(found.reason, 'undefined', `${fault.status} has its words`);
      t.equal(bytes.length - found.size, 'head' in style ? 0 : found.length, 'the length is true');
      t.match(
        found.fields.find((line) => line.startsWith('Proxy-Status=')),
        new RegExp(`^Proxy-Status=switchyard;${fault.status < 400 ? '' : ' error=[a-z_]+;'} details="${fault.code}"$`),
        'RFC 9209',
      );
    }
  }
});

t.test('who is to blame is told apart', async (t) => {
  const error = (fault: Fault): string => /error=([a-z_]+)/.exec(answer(fault).head.join('\n'))?.[1] ?? '';
  t.equal(error(REJECT.badFraming), 'http_request_error');
  t.equal(error(REJECT.shuttingDown), 'proxy_internal_response');
  t.equal(error(REJECT.unavailable), 'destination_unavailable');
  t.equal(error(FAILURE.dialFailed), 'connection_refused');
  t.equal(error(FAILURE.headTimeout), 'http_response_timeout');
  t.equal(error(FAILURE.badResponse), 'http_protocol_error');
});

t.test('who wants JSON, and who calls by gRPC', async (t) => {
  for (const [field, form] of [
    ['Accept: application/json', 'json'],
    ['accept: text/html, application/json;q=0.9', 'json'],
    ['Accept: text/html', 'text'],
    ['X: application/json', 'text'],
    ['Content-Type: application/grpc', 'grpc'],
    ['content-type: application/GRPC+proto', 'grpc'],
    ['Content-Type: application/grpc;a=b', 'grpc'],
    ['Content-Type: application/grpc-web', 'text'],
    ['Content-Type: application/grp', 'text'],
  ] as const) {
    const { head, buf } = parsedRequest(`GET / HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`);
    t.equal(formFor(head.fields, buf, true), form, field);
    t.equal(formFor(head.fields, buf, false), form === 'grpc' ? 'text' : form, `${field}, over HTTP/1.1`);
  }
});

t.test('a gRPC call fails by a head that is all there is', async (t) => {
  t.strictSame(answer(REJECT.unavailable, { form: 'grpc' }), {
    head: [
      'HTTP/1.1 200 OK',
      'Content-Type: application/grpc',
      'Content-Length: 0',
      'Proxy-Status: switchyard; error=destination_unavailable; details="unavailable"',
      'grpc-status: 14',
      'grpc-message: No backend is available for this upstream.',
      'Cache-Control: no-store',
      'Retry-After: 1',
      'Date: Thu, 01 Jan 1970 00:00:00 GMT',
    ],
    body: '',
  });
  for (const [fault, status] of [
    [REJECT.noRoute, 12],
    [REJECT.rateLimited, 14],
    [REJECT.bodyTooLarge, 8],
    [REJECT.headTimeout, 2],
    [FAILURE.reset, 14],
    [FAILURE.headTimeout, 14],
  ] as const) {
    t.ok(answer(fault, { form: 'grpc' }).head.includes(`grpc-status: ${status}`), fault.code);
  }
  t.equal(answer(REDIRECT, { form: 'grpc', details: { location: '/b' } }).head[0], 'HTTP/1.1 308 Permanent Redirect', 'what is no failure stays what it is');
});

t.test('the message of a failed call is ASCII', async (t) => {
  t.strictSame(grpcFields(500, '100 % ü\r\n'), [
    ['grpc-status', '2'],
    ['grpc-message', '100 %25 %C3%BC%0D%0A'],
  ]);
});
