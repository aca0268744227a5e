import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { CheckCounts } from '../../src/control/check-counts.ts';
import { GateCounts } from '../../src/control/gate-counts.ts';
import { askGate, measure } from '../../src/control/gates.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { GateQuestion } from '../../src/swap/ports.ts';
import { gatePolicy } from '../swap/fixtures.ts';

const QUESTION: GateQuestion = {
  id: 's1.0.step.g',
  gate: 'g',
  before: 'step',
  upstream: 'web',
  version: 'v2',
  since: '2026-01-01T00:00:00.000Z',
  until: '2026-01-01T00:01:00.000Z',
  swap: null,
  nextWeight: 100,
  lastStep: null,
};
const NAMES = { upstream: 'web', version: 'v2', stable: 'v1' };
const counts = new GateCounts();
const going = (): AbortSignal => new AbortController().signal;

let answer: { status: number; body: string; location?: string } = { status: 200, body: '' };
let authorization: string | undefined;
const server = createServer((request, response) => {
  request.resume();
  ({ authorization } = request.headers);
  response.writeHead(answer.status, answer.location === undefined ? {} : { location: answer.location }).end(answer.body);
});
t.before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
t.teardown(() => {
  server.close();
  server.closeAllConnections();
});
const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

t.test('only a 200 with a decision is one; everything else is a wait that says why', async (t) => {
  for (const [status, body, decision, reason] of [
    [200, '{"decision":"pass","reason":"fine"}', 'pass', 'fine'],
    [200, '{"decision":"stop"}', 'stop', 'it said stop'],
    [200, '{"decision":"wait","reason":5}', 'wait', 'it said wait'],
    [200, '{"decision":"yes"}', 'wait', /^g answered without a decision/],
    [200, '[]', 'wait', /^g answered without a decision/],
    [200, 'pass', 'wait', 'g cannot be asked: its answer is not JSON'],
    [200, 'x'.repeat(70_000), 'wait', 'g cannot be asked: its answer is longer than 65536 bytes'],
    [500, '{"decision":"pass"}', 'wait', 'g answered 500'],
    [302, '{"decision":"pass"}', 'wait', 'g answered 302'],
  ] as const) {
    answer = { status, body, ...(status === 302 ? { location: '/elsewhere' } : {}) };
    t.match(await askGate(gatePolicy('g', 'step', { url: url() }), QUESTION, going(), 20_000, counts), { decision, reason }, `${status} ${body.slice(0, 40)}`);
  }
  answer = { status: 200, body: JSON.stringify({ decision: 'stop', reason: 'r'.repeat(9_999) }) };
  t.equal((await askGate(gatePolicy('g', 'step', { url: url() }), QUESTION, going(), 20_000, counts)).reason.length, 500, 'a long reason is cut');
  t.match(await askGate(gatePolicy('g', 'step', { url: 'http://127.0.0.1:1/' }), QUESTION, going(), 20_000, counts), {
    decision: 'wait',
    reason: /^g cannot be asked: .*ECONNREFUSED/,
  });
});

t.test('each question is counted with what came of it; one that is broken off has no answer', async (t) => {
  const own = new GateCounts();
  const ask = (signal: AbortSignal, to = url()): ReturnType<typeof askGate> => askGate(gatePolicy('g', 'step', { url: to }), QUESTION, signal, 20_000, own);
  for (const body of ['{"decision":"pass"}', '{"decision":"wait"}', '{"decision":"stop"}', '{"decision":"yes"}', 'pass']) {
    answer = { status: 200, body };
    await ask(going());
  }
  answer = { status: 503, body: '{"decision":"pass"}' };
  await ask(going());
  await ask(going(), 'http://127.0.0.1:1/');
  await ask(AbortSignal.abort());
  const [row] = own.measure([], emptyUpstream('web', 0));
  t.match(row, { before: 'step', asked: 8, answers: { pass: 1, wait: 1, stop: 1, failed: 4 } });
});

t.test('a Prometheus answer: the first value of a vector, or a scalar; no number is no value', async (t) => {
  const ask = (): ReturnType<typeof measure> =>
    measure({ url: url(), query: 'up', min: null, max: 1, interval: 1_000, timeout: 20_000 }, NAMES, going(), new CheckCounts());
  const data = (resultType: string, result: unknown): string => JSON.stringify({ status: 'success', data: { resultType, result } });
  for (const [status, body, value] of [
    [200, data('vector', [{ value: [1, '0.25'] }, { value: [1, '9'] }]), 0.25],
    [200, data('scalar', [1, '3']), 3],
    [200, data('vector', []), null],
    [200, data('vector', [{ value: [1, '+Inf'] }]), null],
    [200, data('string', [1, 'x']), null],
    [200, '{}', null],
    [400, data('scalar', [1, '3']), null],
  ] as const) {
    answer = { status, body };
    const found = await ask();
    t.equal(found.value, value, body);
    t.equal(found.problem === null, value !== null, String(found.problem));
  }
});

t.test('each query to a Prometheus server is counted with what came of it; one that is broken off is none', async (t) => {
  const own = new CheckCounts();
  t.equal(own.measure(false), null, 'nobody asks');
  t.strictSame(own.measure(true), { pass: 0, fail: 0, 'no-data': 0, error: 0, timeout: 0 });
  const check = { url: url(), query: 'up', min: 1, max: 2, interval: 1_000, timeout: 20_000 };
  const ask = (more: Partial<typeof check> = {}, signal = going()): ReturnType<typeof measure> => measure({ ...check, ...more }, NAMES, signal, own);
  for (const value of ['1', '2', '0.9', '2.1', '9', 'NaN']) {
    answer = { status: 200, body: JSON.stringify({ data: { resultType: 'scalar', result: [1, value] } }) };
    await ask();
  }
  answer = { status: 503, body: answer.body };
  await ask();
  answer = { status: 200, body: 'up' };
  await ask();
  await ask({ url: 'http://127.0.0.1:1/' });
  await ask({}, AbortSignal.abort());
  const silent = createTcpServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  t.match(await ask({ url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, timeout: 50 }), { problem: 'no answer in 0.05 s' });
  t.strictSame(own.measure(false), { pass: 2, fail: 3, 'no-data': 1, error: 3, timeout: 1 });
});

t.test('the name and password of an address are sent as such, and said nowhere', async (t) => {
  const named = url().replace('://', '://ann:p%40ss@');
  answer = { status: 401, body: '{}' };
  const found = await measure({ url: named, query: 'up', min: null, max: 1, interval: 1_000, timeout: 20_000 }, NAMES, going(), new CheckCounts());
  t.equal(authorization, `Basic ${Buffer.from('ann:p@ss').toString('base64')}`);
  t.notMatch(found.problem, /ann|p%40ss|p@ss/);
  const { reason } = await askGate(gatePolicy('g', 'step', { url: named }), QUESTION, going(), 20_000, counts);
  t.equal(authorization, `Basic ${Buffer.from('ann:p@ss').toString('base64')}`);
  t.notMatch(reason, /ann|p%40ss|p@ss/);
});
