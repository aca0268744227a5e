import * as fc from 'fast-check';
import t from 'tap';
import { forwarderOf, writeRequest } from '../../src/http/forward-request.ts';
import type { Forwarder } from '../../src/http/forward-request.ts';
import { writeResponse } from '../../src/http/forward-response.ts';
import { BODY, RequestHead } from '../../src/http/request-head.ts';
import { ResponseHead } from '../../src/http/response-head.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { latin1, LIMITS, requestMeaning, responseMeaning, readRequest, readResponse } from '../http/parsed.ts';
import type { RequestMeaning, ResponseMeaning } from '../http/parsed.ts';
import { asked, mutated, mutations, requestHead, responseHead, SEED } from './codec_arbitraries.ts';

const OPTIONS = { seed: SEED, numRuns: 15_000 };
const LOOSE = { head: 1e6, headers: 200, target: 1e5 };
const writer = new HeadWriter(8);

function forwarder(trusted: boolean): Forwarder {
  return forwarderOf({ address: '192.0.2.1', port: 40_000, localAddress: '10.0.0.1', localPort: 80, secure: false }, trusted);
}

const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'http2-settings'];
const nameOf = (line: string): string => line.slice(0, line.indexOf('=')).toLowerCase();
const valuesOf = (fields: readonly string[], name: string): string[] =>
  fields.filter((line) => nameOf(line) === name).map((line) => line.slice(name.length + 1));

/** Names that a Connection field nominates. */
function nominated(fields: readonly string[]): string[] {
  return valuesOf(fields, 'connection').flatMap((list) =>
    list
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  );
}

/** Fields a Connection may not take away: they are the proxy's business, or the message's meaning. */
const PROTECTED =
  /^(host|connection|content-length|transfer-encoding|keep-alive|proxy-connection|te|trailer|upgrade|http2-settings|expect|via|forwarded|x-forwarded-.*|x-request-id|trace.*|cookie|date|content-type|accept|max-forwards|x-real-ip|authorization|cache-control)$/;

function check(met: boolean, what: string): void {
  if (!met) throw new Error(what);
}

/** What the backend is told is what the client has said. */
function compareRequests(before: RequestMeaning, after: RequestMeaning): void {
  check(after.method === before.method, 'the method is the same');
  const serverWide = before.method === 'OPTIONS' && before.target === '';
  const target = serverWide ? '*' : before.target === '' || before.target.startsWith('?') ? `/${before.target}` : before.target;
  check(after.target === target, `the target is the same: ${after.target}`);
  check(after.minor === 1 && !after.absolute, 'it is HTTP/1.1 in origin-form');
  check(after.authority === (before.authority ?? '10.0.0.1:80'), `the authority is the same: ${after.authority}`);
  check(after.body === before.body && after.length === before.length, `the body is framed the same way: ${after.body} ${after.length}`);
  check(after.upgrade === before.upgrade, `the upgrade is the same: ${after.upgrade}`);
  check(after.expectContinue === before.expectContinue, 'the expectation is the same');
  check(valuesOf(after.fields, 'host').length === 1, 'there is one Host');
  const framing = valuesOf(after.fields, 'content-length').length + valuesOf(after.fields, 'transfer-encoding').length;
  check(framing === (before.body === 'none' ? 0 : 1), `there are ${framing} framing fields`);
  check(
    valuesOf(after.fields, 'content-length').every((length) => length === String(before.length)),
    'the length is canonical',
  );
  check(!after.fields.some((line) => HOP_BY_HOP.includes(nameOf(line))), 'no hop-by-hop field went on');
  const connections = valuesOf(after.fields, 'connection');
  check(connections.length <= 1 && ['Upgrade', 'TE', undefined].includes(connections[0]), `Connection is ours: ${connections.join()}`);
  check(valuesOf(after.fields, 'upgrade').length === (before.upgrade === null ? 0 : 1), 'Upgrade goes with an upgrade');
  check(!after.fields.some((line) => ['x_forwarded_for', 'content_length', 'transfer_encoding'].includes(nameOf(line))), 'no alias went on');
  const gone = nominated(before.fields).filter((name) => !PROTECTED.test(name));
  check(!after.fields.some((line) => gone.includes(nameOf(line))), `nothing nominated went on: ${gone.join()}`);
  const plain = (fields: readonly string[]): string[] => fields.filter((line) => !PROTECTED.test(nameOf(line).replaceAll('_', '-')));
  const folded = gone.map((name) => name.replaceAll('_', '-'));
  const expected = plain(before.fields).filter((line) => !folded.includes(nameOf(line).replaceAll('_', '-')));
  check(JSON.stringify(plain(after.fields)) === JSON.stringify(expected), 'all other fields went on, in their order');
}

t.test('what goes to a backend is read there as it was meant', async (t) => {
  let compared = 0;
  fc.assert(
    fc.property(requestHead, fc.option(mutations), fc.boolean(), (valid, changes, trusted) => {
      const buf = latin1(changes === null ? valid : mutated(valid, changes));
      const head = new RequestHead(LIMITS);
      head.begin(0);
      if (!head.parse(buf, buf.length)) return;
      writer.begin();
      writeRequest(writer, head, buf, forwarder(trusted), Buffer.alloc(40, 0xf1), 0);
      const written = writer.take();
      const after = readRequest(written, [], LOOSE);
      if (typeof after === 'string') throw new Error(`${after}: ${JSON.stringify(written.toString('latin1'))}`);
      check(after.size === written.length, 'it is one head and nothing behind it');
      compareRequests(requestMeaning(head, buf), after);
      compared++;
    }),
    OPTIONS,
  );
  t.ok(compared > OPTIONS.numRuns / 4, `${compared} heads were compared`);
});

function compareResponses(before: ResponseMeaning, after: ResponseMeaning): void {
  check(after.status === before.status && after.reason === before.reason, 'status and reason are the same');
  if (before.status >= 200) check(after.dated, 'it is dated');
  const lengthless = before.status < 200 || before.status === 204;
  const lengths = valuesOf(after.fields, 'content-length');
  check(lengths.length === (lengthless ? 0 : valuesOf(before.fields, 'content-length').length), `there are ${lengths.length} lengths`);
  check(
    lengths.every((length) => length === String(before.length)),
    'the length is canonical',
  );
  check(
    JSON.stringify(valuesOf(after.fields, 'set-cookie')) ===
      JSON.stringify(nominated(before.fields).includes('set-cookie') ? [] : valuesOf(before.fields, 'set-cookie')),
    'cookies',
  );
  check(!after.fields.some((line) => HOP_BY_HOP.includes(nameOf(line)) || nameOf(line) === 'te'), 'no hop-by-hop field went on');
  check(valuesOf(after.fields, 'connection').length <= 1, 'there is one Connection at most');
  if (before.status !== 101) check(valuesOf(after.fields, 'upgrade').length === 0, 'Upgrade goes with 101 only');
}

t.test('what goes to a client is read there as it was meant', async (t) => {
  let compared = 0;
  fc.assert(
    fc.property(responseHead, fc.option(mutations), asked, fc.constantFrom(0, 1), fc.boolean(), (valid, changes, question, minor, ending) => {
      const buf = latin1(changes === null ? valid : mutated(valid, changes));
      const head = new ResponseHead();
      head.begin(0);
      if (!head.parse(buf, buf.length, question)) return;
      const unknown = head.body === BODY.chunked || head.body === BODY.close;
      const body = unknown ? (minor === 1 ? BODY.chunked : BODY.close) : head.body;
      const close = ending || body === BODY.close;
      writer.begin();
      writeResponse(writer, head, buf, { minor, body, close, date: latin1('Date: d\r\n'), extra: '', turn: null });
      const written = writer.take();
      const after = readResponse(written, question);
      if (typeof after === 'string') throw new Error(`${after}: ${JSON.stringify(written.toString('latin1'))}`);
      check(after.size === written.length, 'it is one head and nothing behind it');
      check(after.body === (['none', 'length', 'chunked', 'close'] as const)[body], `the body is framed as agreed: ${after.body}`);
      if (head.status >= 200) check(after.keepAlive === !close, 'it says whether the connection goes on');
      compareResponses(responseMeaning(head, buf), after);
      compared++;
    }),
    OPTIONS,
  );
  t.ok(compared > OPTIONS.numRuns / 4, `${compared} heads were compared`);
});
