import * as fc from 'fast-check';
import t from 'tap';
import { parseUpstream } from '../../src/config/parse.ts';
import { REDIRECT, REJECT_LIST } from '../../src/errors/catalogue.ts';
import { foldedName } from '../../src/http/edit-fields.ts';
import { forwarderOf, writeRequest } from '../../src/http/forward-request.ts';
import { writeResponse } from '../../src/http/forward-response.ts';
import { ownAnswer } from '../../src/http/own-answer.ts';
import { BODY, RequestHead } from '../../src/http/request-head.ts';
import { ResponseHead } from '../../src/http/response-head.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { CompiledRules } from '../../src/proxy/rules.ts';
import { latin1, LIMITS } from '../http/parsed.ts';
import { asked, requestHead, responseHead, SEED, token, value } from './codec_arbitraries.ts';

const OPTIONS = { seed: SEED, numRuns: 8_000 };
const writer = new HeadWriter(8);

/** Names that matter beside any token: those of clients, of the proxy, and aliases of both. */
const name = fc.oneof(
  token,
  fc.constantFrom('Host', 'X-Real-IP', 'Cookie', 'x-auth-user', 'X_Auth_User', 'Server', 'Vary', 'Cache-Control', 'Content-Type', 'X-Request-Id'),
  fc.constantFrom('Content-Length', 'Transfer-Encoding', 'Connection', 'Upgrade', 'X-Forwarded-For', 'X_Forwarded_Host', 'Via', 'Date', 'Trailer'),
);
const text = fc.oneof(value, fc.constantFrom('{client}', 'a {host} b', '{request_id}', '{{', 'a\r\nb', '{x}', 'a.test', '\0'));
const pairs = fc.dictionary(name, text, { maxKeys: 4 });
const changes = fc.record({ set: pairs, add: pairs, remove: fc.array(name, { maxLength: 3 }) });
/** Whatever an operator may write; most of it is refused. */
const written = fc.record({ request: changes, response: changes, security: fc.boolean() });
/** What a client or a trusted proxy has a say in. */
const words = fc.record({
  client: fc.constantFrom('192.0.2.1', '::1'),
  host: fc.constantFrom('a.test', '[::1]'),
  scheme: fc.constantFrom('http', 'https'),
  requestId: value,
});

interface Changes {
  readonly set: Record<string, string>;
  readonly add: Record<string, string>;
  readonly remove: string[];
}

interface Written {
  readonly request: Changes;
  readonly response: Changes;
  readonly security: boolean;
}

/** The changes without what config/ refuses: each is offered on its own, then all together. */
function accepted(side: 'request' | 'response', { set, add, remove }: Changes): Changes {
  const seen = new Set<string>();
  const good = (one: object, key: string): boolean => {
    try {
      parseUpstream('web', { routes: [{ headers: { [side]: one } }] });
    } catch {
      return false;
    }
    if (seen.has(foldedName(key))) return false;
    seen.add(foldedName(key));
    return true;
  };
  return {
    set: Object.fromEntries(Object.entries(set).filter(([key, text]) => good({ set: { [key]: text } }, key))),
    add: Object.fromEntries(Object.entries(add).filter(([key, text]) => good({ add: { [key]: text } }, key))),
    remove: remove.filter((key) => good({ remove: [key] }, key)),
  };
}

function compiled(rules: Written): { rules: CompiledRules; request: Changes; response: Changes } {
  const request = accepted('request', rules.request);
  const response = accepted('response', rules.response);
  const [route] = parseUpstream('web', { routes: [{ headers: { request, response }, security: rules.security, rewrite: '/v2' }] }).policy.routes;
  return { rules: new CompiledRules(route.rules!, '/'), request, response };
}

function check(met: boolean, what: string, head: Buffer): void {
  if (!met) throw new Error(`${what}: ${JSON.stringify(head.toString('latin1'))}`);
}

/** Folded names of the lines of a head, read apart from src/http. */
function namesOf(head: Buffer): string[] {
  const whole = head.toString('latin1');
  check(/^[^\r\n\0]*\r\n(?:[^\r\n\0:\s]+:[^\r\n\0]*\r\n)*\r\n$/.test(whole), 'it is one head, without a bare CR, LF or NUL', head);
  return whole
    .split('\r\n')
    .slice(1, -2)
    .map((line) => foldedName(line.slice(0, line.indexOf(':'))));
}

function checkHead(head: Buffer, { set, remove }: Changes): string[] {
  const names = namesOf(head);
  const times = (one: string): number => names.filter((found) => found === foldedName(one)).length;
  check(times('content-length') + times('transfer-encoding') <= 1, 'there is one framing at most', head);
  for (const key of Object.keys(set)) check(times(key) === 1, `${key} is there once`, head);
  for (const key of remove) check(times(key) === 0, `${key} is gone`, head);
  return names;
}

t.test('no rule can break the head that goes to a backend', async (t) => {
  let compared = 0;
  fc.assert(
    fc.property(requestHead, written, words, fc.boolean(), (valid, operator, said, trusted) => {
      const buf = latin1(valid);
      const head = new RequestHead(LIMITS);
      head.begin(0);
      if (!head.parse(buf, buf.length)) return;
      const { rules, request } = compiled(operator);
      const forwarder = forwarderOf({ address: '192.0.2.1', port: 40_000, localAddress: '10.0.0.1', localPort: 80, secure: false }, trusted);
      const path = buf.toString('latin1', head.targetStart, head.targetEnd).split('?')[0] || '/';
      const turn = { edits: rules.request, words: said, path: rules.rewrite!.apply(path), pathEnd: head.targetEnd, prefix: '/p' };
      writer.begin();
      writeRequest(writer, head, buf, forwarder, Buffer.alloc(40, 0xf1), 0, turn);
      const out = writer.take();
      const names = checkHead(out, request);
      check(names.filter((found) => found === 'host').length === 1, 'there is one Host', out);
      check(names.filter((found) => found === 'x-forwarded-prefix').length === 1, 'and one prefix', out);
      compared++;
    }),
    OPTIONS,
  );
  t.ok(compared > OPTIONS.numRuns / 4, `${compared} heads were compared`);
});

t.test('nor the one that goes to a client', async (t) => {
  let compared = 0;
  fc.assert(
    fc.property(responseHead, asked, written, words, (valid, question, operator, said) => {
      const buf = latin1(valid);
      const head = new ResponseHead();
      head.begin(0);
      if (!head.parse(buf, buf.length, question) || head.status < 200) return;
      const { rules, response } = compiled(operator);
      const body = head.body === BODY.close ? BODY.chunked : head.body;
      writer.begin();
      const turn = { answer: rules.answer, words: said };
      writeResponse(writer, head, buf, { minor: 1, body, close: false, date: latin1('Date: d\r\n'), extra: '', turn });
      checkHead(writer.take(), response);
      compared++;
    }),
    OPTIONS,
  );
  t.ok(compared > OPTIONS.numRuns / 4, `${compared} heads were compared`);
});

t.test('nor an answer of the proxy itself', async () => {
  fc.assert(
    fc.property(fc.constantFrom(REDIRECT, ...REJECT_LIST), written, words, fc.boolean(), (fault, operator, said, close) => {
      const { rules, response } = compiled(operator);
      const turn = { answer: rules.answer, words: said };
      const details = fault === REDIRECT ? { location: 'http://a.test/', status: 301 } : null;
      checkHead(ownAnswer(fault, { form: 'text', close, head: true, date: latin1('Date: d\r\n'), turn, details }), response);
    }),
    { ...OPTIONS, numRuns: 2_000 },
  );
});
