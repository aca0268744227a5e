import t from 'tap';
import { FAILURE_LIST, REJECT_LIST } from '../../src/errors/catalogue.ts';
import { CORPUS } from '../corpus/cases.ts';
import type { CorpusCase } from '../corpus/cases.ts';
import { judgeRequest, judgeResponse, valuesOf } from '../fuzz/judge.ts';
import type { Message } from '../fuzz/judge.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { Witness } from './witness.ts';

/** Refused though they are valid, or might pass: each with why. */
const STRICTER: Readonly<Record<string, string>> = {
  'gunicorn-valid-013': 'white space around a chunk extension: readers differ about it, nobody sends it',
  'waitress-badext-3': 'white space around a chunk extension: readers differ about it, nobody sends it',
  'go-host-21': 'a Host without a host (RFC 9110 §4.2.1)',
  'rfc-host-v6zone': 'a zone means nothing to another host (RFC 9844)',
  'rfc-method-long': 'a method of more than 32 bytes is none that anybody implements: 501',
  'rfc-headers-100': 'more than 100 fields',
};

const LANES = 12;
/** A connection on which nothing has come for so long is taken to have said all. */
const QUIET_MS = 150;
const PATIENCE_MS = 20_000;

const witness = await Witness.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  upstreams: {
    web: catchAll({ v1: [witness.address] }, 'v1', {
      health: { kind: 'none' },
      outlier: false,
      retries: { attempts: 0 },
      timeouts: { head: '10s', idle: '10s' },
    }),
  },
});

let clients = 0;

/** An address that no other client has: what comes late of one case cannot be taken for what is of another. */
function newAddress(): string {
  const count = ++clients;
  return `127.1.${count >> 8}.${count & 255}`;
}

/** Reasons of the proxy's own answers that each client has seen, in order. */
const told = new Map<string, string[]>();

interface Heard {
  readonly answers: readonly Message[];
  /** What is no whole answer; null = nothing. */
  readonly rest: Message | string | null;
}

const reasonOf = ({ fields }: Message): string | null => /details="([^"]+)"/.exec(valuesOf(fields, 'proxy-status')[0] ?? '')?.[1] ?? null;
const isFinal = ({ start }: Message): boolean => !start[0].startsWith('1');

/** Reads what a client has got, with the strict reader that knows the proxy's one way of writing. */
function hear(text: string, methods: readonly string[], ended: boolean): Heard {
  const answers: Message[] = [];
  let at = 0;
  while (at < text.length) {
    const found = judgeResponse(text, at, { method: methods[answers.filter(isFinal).length] ?? 'GET', upgrade: false }, true);
    if (found === null || typeof found === 'string') return { answers, rest: found ?? 'half a head' };
    if (found.framing === 'close' && ended && found.fault === null) {
      answers.push(found);
      return { answers, rest: null };
    }
    if (!found.complete || found.fault !== null) return { answers, rest: found };
    answers.push(found);
    at = found.end;
  }
  return { answers, rest: null };
}

/** Whether this is the body of a message; of one that was answered early, its beginning. */
function isBody({ body, complete }: Message, said: string): boolean {
  return complete ? body === said : said.startsWith(body);
}

/** The messages that a strict reader finds in what a client has sent; the last may be cut off. */
function strictly(bytes: string): Message[] {
  const found: Message[] = [];
  for (let at = 0; at < bytes.length;) {
    const message = judgeRequest(bytes, at, false);
    if (message === null || typeof message === 'string' || message.fault !== null) break;
    found.push(message);
    if (!message.complete) break;
    at = message.end;
  }
  return found;
}

/**
 * Waits until the connection has ended, or has said `enough`, or something and then nothing for a while.
 * @param isBusy whether there must be more to come.
 * @param patience ms without a byte after which nothing more is waited for.
 */
async function settle(client: RawClient, enough: (text: string) => boolean, isBusy: (text: string) => boolean, patience: number): Promise<void> {
  const from = client.total;
  for (let last = from, since = performance.now(); ; await sleep(5)) {
    if (client.ending !== 'open') return;
    if (client.total !== last) {
      last = client.total;
      since = performance.now();
    }
    const quiet = performance.now() - since;
    if (quiet > 10 && enough(client.pending.toString('latin1'))) return;
    if (quiet > patience || (client.total > from && quiet > QUIET_MS && !isBusy(client.pending.toString('latin1')))) return;
  }
}

function note(address: string, answers: readonly Message[]): void {
  const reasons = answers.map(reasonOf).filter((reason) => reason !== null);
  told.set(address, [...(told.get(address) ?? []), ...reasons]);
}

/** Whether the proxy lives and nobody else's answer waits in it: two requests on a new connection get their own. */
async function probe(): Promise<string[]> {
  const address = newAddress();
  using client = await RawClient.connect(proxy.port, { localAddress: address });
  const first = await client.request({ target: '/probe' });
  const second = await client.request({ target: '/probe' });
  const ids = witness.seenOf(address).map(({ id }) => id);
  const found = [first, second].map(({ body }) => body.toString('latin1'));
  return String(found) === String(ids) ? [] : [`the probes ${ids.join()} were answered with ${found.join()}`];
}

function cutAt(text: string, ...cuts: readonly number[]): string[] {
  const ends = [...new Set([...cuts, text.length])].filter((end) => end > 0).sort((a, b) => a - b);
  return ends.map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end));
}

async function sendRequest(one: CorpusCase, pieces = cutAt(one.bytes, one.pauseAt)): Promise<string[]> {
  const wrong: string[] = [];
  const address = newAddress();
  const sent = strictly(one.bytes);
  using client = await RawClient.connect(proxy.port, { localAddress: address });
  for (const [i, piece] of pieces.entries()) {
    if (i > 0) await sleep(one.pauseAt > 0 ? 80 : 1);
    if (client.ending === 'open') client.write(piece);
  }
  const methods = sent.map(({ start }) => start[0]);
  const complete = sent.filter((message) => message.complete);
  const isAll = complete.length > 0 && complete.at(-1)!.end === one.bytes.length;
  await settle(
    client,
    (text) => isAll && hear(text, methods, false).answers.filter(isFinal).length >= complete.length,
    (text) => {
      const { answers, rest } = hear(text, methods, false);
      const given = answers.flatMap(({ fields }) => valuesOf(fields, 'x-seen'));
      return rest !== null || witness.seenOf(address).some(({ id, isOpen }) => isOpen() && !given.includes(id));
    },
    one.expect === 'either' ? QUIET_MS * 4 : PATIENCE_MS,
  );
  const { answers, rest } = hear(client.pending.toString('latin1'), methods, client.ending !== 'open');
  note(address, answers);
  if (rest !== null) wrong.push(`the client has got something else: ${JSON.stringify(rest)}`);
  const finals = answers.filter(isFinal);
  const delivered = finals.flatMap(({ fields }) => valuesOf(fields, 'x-seen'));
  const seen = witness.seenOf(address);
  for (const [i, { message }] of seen.entries()) {
    const said = sent.at(i);
    if (said === undefined || said.start[0] !== message.start[0] || !isBody(message, said.body))
      wrong.push(`request ${i} at the backend is not what was sent: ${message.start.join(' ')} ${JSON.stringify(message.body)}`);
  }
  const answered = seen.map(({ id }) => id).filter((id) => delivered.includes(id));
  if (String(answered) !== String(delivered)) wrong.push(`answers ${delivered.join()} for requests ${seen.map(({ id }) => id).join()}`);
  if (client.ending === 'open') for (const { id, isOpen } of seen) if (!delivered.includes(id) && isOpen()) wrong.push(`the answer to ${id} went nowhere`);
  const refused = finals.length === 0 ? client.ending !== 'open' : reasonOf(finals[0]) !== null && finals[0].start[0] >= '400';
  if (refused && finals.length === 0) wrong.push('closed without an answer');
  if (one.expect === 'pass' && refused !== one.id in STRICTER) wrong.push(`it is ${refused ? 'refused' : 'not refused'}`);
  if (one.expect === 'refuse' && !refused) wrong.push('it is not refused');
  const closes = finals.length > 0 && valuesOf(finals.at(-1)!.fields, 'connection').includes('close');
  if (closes) await client.closed().catch(() => wrong.push('it says that it closes, and does not'));
  else if (client.ending !== 'open' && rest === null) wrong.push('it closes and does not say so');
  return wrong;
}

async function sendResponse(one: CorpusCase): Promise<string[]> {
  const wrong: string[] = [];
  const address = newAddress();
  const target = `/answer/${one.id}`;
  witness.scripts.set(target, one);
  using client = await RawClient.connect(proxy.port, { localAddress: address });
  client.write(`${one.method} ${target} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  const isDone = (text: string): boolean => hear(text, [one.method], false).answers.some(isFinal);
  await settle(client, isDone, (text) => !isDone(text), PATIENCE_MS);
  const isEarly = one.late !== '' && !witness.lateSaid.has(target);
  const ended = client.ending !== 'open';
  const { answers, rest } = hear(client.pending.toString('latin1'), [one.method], ended);
  note(address, answers);
  const finals = answers.filter(isFinal);
  if (finals.length > 1) wrong.push(`${finals.length} answers to one request`);
  if (typeof rest === 'string' || (rest !== null && rest.fault !== null)) wrong.push(`the client has got something else: ${JSON.stringify(rest)}`);
  if (rest !== null && !ended) wrong.push('half an answer, and the connection goes on');
  const failed = finals.length === 1 && reasonOf(finals[0]) !== null;
  if (one.expect === 'refuse' && !failed) wrong.push('it is not a 502');
  if (one.expect === 'pass' && failed) wrong.push(`it is refused: ${reasonOf(finals[0])}`);
  if (finals.length === 1 && !failed) {
    const meant = lastOf(one);
    if (meant === null || typeof meant === 'string') wrong.push(`an answer that is none has passed: ${meant}`);
    else if (meant.body !== finals[0].body || meant.start[0] !== finals[0].start[0]) wrong.push('another answer than the backend’s');
    else if (!meant.complete && meant.framing !== 'close') wrong.push('an answer that is not whole looks whole');
  }
  if (ended) return wrong;
  // Late bytes come meanwhile, on an idle connection.
  if (one.late !== '') await lateOver(target, isEarly);
  const taken = client.pending.length;
  const before = witness.seenOf(address).length;
  client.write('GET /same HTTP/1.1\r\nHost: a.example\r\n\r\n');
  const isAnswered = (text: string): boolean => hear(text.slice(taken), ['GET'], false).answers.length > 0;
  await settle(client, isAnswered, (text) => !isAnswered(text), PATIENCE_MS);
  const next = hear(client.pending.toString('latin1').slice(taken), ['GET'], false).answers.at(0);
  if (next?.body !== witness.seenOf(address).at(before)?.id || next === undefined) wrong.push(`the next answer is ${next?.start.join(' ')} ${next?.body}`);
  return wrong;
}

/** Once the late bytes have come. Those behind a whole answer are of nobody: their connection is given up. */
async function lateOver(target: string, isSurplus: boolean): Promise<void> {
  const isOpen = await eventually(`the late bytes of ${target}`, () => witness.lateSaid.get(target));
  if (isSurplus) await eventually(`the end of the connection of ${target}`, () => !isOpen());
  else await sleep(20);
}

/** The final answer that a strict reader finds in what the backend sends. */
function lastOf(one: CorpusCase): Message | string | null {
  for (let at = 0; ;) {
    const found = judgeResponse(one.bytes, at, { method: one.method, upgrade: false }, false);
    if (found === null || typeof found === 'string' || isFinal(found)) return found;
    at = found.end;
  }
}

t.test(`${CORPUS.length} cases through the running proxy, in no way unsafe`, async (t) => {
  const met = { pass: 0, refuse: 0, either: 0 };
  const lane = async (cases: Iterable<CorpusCase>, run: (one: CorpusCase) => Promise<string[]>): Promise<void> => {
    for (const one of cases) {
      const wrong = [...(await run(one)), ...(await probe())];
      if (wrong.length > 0) t.fail(`${one.id} (${one.class}, ${one.expect})`, { wrong, bytes: one.bytes.slice(0, 300) });
      else met[one.expect]++;
    }
  };
  // Answers one after the other: a backend that hangs up without a word may take another case's request with it.
  for (const [kind, run, lanes] of [
    ['request', sendRequest, LANES],
    ['response', sendResponse, 1],
  ] as const) {
    const cases = CORPUS.filter((one) => one.kind === kind).values();
    await Promise.all(Array.from({ length: lanes }, () => lane(cases, run)));
  }
  t.strictSame(witness.faults, [], 'the backend got requests in the one form that the proxy writes, and nothing else');
  t.equal(met.pass + met.refuse + met.either, CORPUS.length, JSON.stringify(met));
  t.ok(proxy.process.running, 'the proxy lives');
});

t.test('a sample of them in pieces', async (t) => {
  const sample = CORPUS.filter((one, i) => one.kind === 'request' && i % 4 === 0 && one.pauseAt === 0);
  const cases = sample.entries();
  const lane = async (): Promise<void> => {
    for (const [i, one] of cases) {
      const { length } = one.bytes;
      const pieces = i % 3 === 0 && length < 300 ? Array.from(one.bytes) : cutAt(one.bytes, (i * 37) % length, (i * 101) % length);
      const wrong = [...(await sendRequest(one, pieces)), ...(await probe())];
      if (wrong.length > 0) t.fail(`${one.id} in ${pieces.length} pieces`, { wrong, pieces: pieces.slice(0, 5) });
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  t.strictSame(witness.faults, [], `${sample.length} cases`);
});

interface LogLine {
  readonly client: string;
  readonly status: number;
  readonly reason: string | null;
}

function tally(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes.toSorted()) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

/** Series of a metric that are not 0, by their reason. */
function byReason(text: string, metric: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, labels, value] of text.matchAll(new RegExp(`^${metric}\\{([^}]*)\\} (\\d+)$`, 'gm'))) {
    const code = /reason="([^"]+)"/.exec(labels)![1];
    if (value !== '0') counts[code] = (counts[code] ?? 0) + Number(value);
  }
  return Object.fromEntries(Object.entries(counts).sort());
}

t.test('the reason of each refusal is in the access log, once, and in the metrics', async (t) => {
  const expected = [...told.values()].flat();
  // One data thread: its line is the last.
  await proxy.send({ target: '/the-end' });
  await eventually('the log', () => proxy.log.some(({ target }) => target === '/the-end'));
  const all = proxy.log as unknown as LogLine[];
  const rejections = new Set(REJECT_LIST.map(({ code }) => code));
  const failures = new Set(FAILURE_LIST.map(({ code }) => code));
  for (const [address, reasons] of told) {
    const logged = all.filter(({ client, status, reason }) => client === address && reason !== null && reason !== 'client-aborted' && status !== 0);
    const answered = logged.filter(({ reason, status }) => reasons.includes(reason!) && status >= 200);
    t.strictSame(
      answered.map(({ reason }) => reason),
      reasons,
      `each answer to ${address} has its line, with its reason`,
    );
  }
  const { text } = await proxy.admin('/metrics');
  const logged = (codes: ReadonlySet<string>): Record<string, number> =>
    tally(all.flatMap(({ reason }) => (reason !== null && codes.has(reason) ? [reason] : [])));
  t.strictSame(byReason(text, 'switchyard_rejected_requests_total'), logged(rejections), 'switchyard_rejected_requests_total');
  t.strictSame(byReason(text, 'switchyard_upstream_failures_total'), logged(failures), 'switchyard_upstream_failures_total');
  t.ok(expected.length > 500, `${expected.length} refusals`);
});
