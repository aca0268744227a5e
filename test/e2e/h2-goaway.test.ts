import t from 'tap';
import { FLAG, FRAME, RawH2Backend, frame, headers, words, type H2Peer, type H2Script } from '../helpers/h2_backend.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { RawClient, requestBytes, type RequestSpec } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts } from '../proxy/counts.ts';

const FAR = 0x7fffffff;
const NO_ERROR = 0;
const REFUSED_STREAM = 7;
/** How often a request is sent again because nobody has looked at it. */
const MOST_RESENT = 10;
const DEADLINE = 20_000;

const goaway = (last: number): Buffer => frame(FRAME.goaway, 0, 0, words(last, NO_ERROR));
const refusal = (stream: number): Buffer => frame(FRAME.rst, 0, stream, words(REFUSED_STREAM));
const hello = (stream: number): Buffer[] => [headers(stream, [[':status', '200']]), frame(FRAME.data, FLAG.endStream, stream, Buffer.from('hello'))];

/** A backend that keeps books of what came on each connection, and what of it was answered. */
class Keeper {
  readonly come = new Map<H2Peer, number[]>();
  readonly ends = new Map<H2Peer, number>();
  answered = 0;
  readonly act: (keeper: Keeper, peer: H2Peer, come: readonly number[]) => void;

  constructor(act: Keeper['act']) {
    this.act = act;
  }

  readonly script: H2Script = (peer, stream) => {
    const come = this.come.get(peer) ?? [];
    this.come.set(peer, come);
    come.push(stream);
    this.act(this, peer, come);
  };

  answer(peer: H2Peer, ...streams: readonly number[]): void {
    this.answered += streams.length;
    for (const stream of streams) peer.write(...hello(stream));
  }

  /** Says that what came last was the last. */
  end(peer: H2Peer, last: number): void {
    this.ends.set(peer, last);
    peer.write(goaway(last));
  }
}

const twenty = new Keeper((keeper, peer, come) => {
  if (keeper.come.size > 1) keeper.answer(peer, come.at(-1)!);
  else if (come.length === 40) {
    keeper.end(peer, come[19]);
    keeper.answer(peer, ...come.slice(0, 20));
  }
});

function tenEach(closes: boolean): Keeper {
  return new Keeper((keeper, peer, come) => {
    if (come.length !== 10) return;
    keeper.end(peer, come[9]);
    keeper.answer(peer, ...come);
    if (closes) peer.socket.end();
  });
}

const open = tenEach(false);
const closed = tenEach(true);

/** Each connection takes one request, and says so before or after its answer. */
function oneEach(first: boolean): Keeper {
  return new Keeper((keeper, peer, come) => {
    if (come.length !== 1) return;
    if (first) keeper.end(peer, come[0]);
    keeper.answer(peer, come[0]);
    if (!first) keeper.end(peer, come[0]);
    peer.socket.end();
  });
}

const before = oneEach(true);
const after = oneEach(false);

const PING = frame(FRAME.ping, 0, 0, Buffer.from('goodbye!'));

/** RFC 9113 §6.8: first that there is an end, and when that must have been heard, where it is. */
const graceful = new Keeper((keeper, peer, come) => {
  if (keeper.ends.has(peer)) return;
  keeper.answer(peer, come.at(-1)!);
  if (come.length !== 25) return;
  peer.write(goaway(FAR), PING);
  const look = (): void => {
    const heard = peer.frames.some(({ type, flags }) => type === FRAME.ping && (flags & FLAG.ack) !== 0);
    if (heard) keeper.end(peer, come.at(-1)!);
    else setTimeout(look, 1);
  };
  look();
});

const nothing: H2Script = () => undefined;
const resets: H2Script = (peer, stream) => peer.write(refusal(stream));
const serves: H2Script = (peer, stream) => peer.write(...hello(stream));
const refusesFirst = (refusals: number): H2Script => {
  return (peer, stream, index) => peer.write(...(index < refusals ? [refusal(stream)] : hello(stream)));
};

const scripts: Readonly<Record<string, H2Script>> = {
  twenty: twenty.script,
  open: open.script,
  closed: closed.script,
  before: before.script,
  after: after.script,
  graceful: graceful.script,
  resets,
  leaves: (peer) => peer.write(goaway(0)),
  never: nothing,
  refuses: resets,
  serves,
  once: refusesFirst(1),
  twice: refusesFirst(2),
  begun: nothing,
  large: nothing,
};
const backends: Record<string, RawH2Backend> = {};
for (const [name, script] of Object.entries(scripts)) {
  backends[name] = await RawH2Backend.start(t, script, undefined, name === 'never' ? [goaway(0)] : []);
}

function upstream(name: string, more: Record<string, unknown> = {}, others: readonly string[] = []): readonly [string, Record<string, unknown>] {
  const addresses = [name, ...others].map((each) => backends[each].address);
  const common = { routes: [{ host: `${name}.example` }], protocol: 'h2', health: { kind: 'none' }, outlier: false };
  return [name, catchAll({ v1: addresses }, 'v1', { ...common, ...more })];
}

const oneAtATime = { limits: { connections: 1 } };
const proxy = await Proxy.start(t, {
  accessLog: 'full',
  dataThreads: 1,
  upstreams: Object.fromEntries([
    ...['twenty', 'graceful', 'resets', 'leaves', 'never', 'begun', 'large'].map((name) => upstream(name)),
    ...['open', 'closed', 'before', 'after'].map((name) => upstream(name, { retries: { attempts: 0 } })),
    upstream('refuses', { balance: 'round-robin' }, ['serves']),
    upstream('once', oneAtATime),
    upstream('twice', oneAtATime),
  ]),
});

const post = (name: string): RequestSpec => ({ method: 'POST', host: `${name}.example`, body: 'x' });

/** So many POSTs at the same time, each on a connection of its own. @returns how often each status was the answer. */
async function together(name: string, requests: number): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  const ask = async (): Promise<void> => {
    const { status } = await proxy.send(post(name), DEADLINE);
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: requests }, ask));
  return statuses;
}

async function metric(series: string): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}

const resent = (name: string): Promise<number> => metric(`switchyard_resent_requests_total{upstream="${name}",version="v1"}`);
const failed = (name: string): Promise<number> => metric(`switchyard_upstream_failures_total{upstream="${name}",version="v1",reason="stream-refused"}`);

async function logged(name: string, lines: number): Promise<{ retries: number; reason: string | null }[]> {
  const of = (): string[] => proxy.process.stdout.split('\n').filter((line) => line.includes(`"host":"${name}.example"`));
  await eventually('the log', () => of().length === lines);
  return of().map((line) => JSON.parse(line) as { retries: number; reason: string | null });
}

t.test('forty POSTs on a connection that goes away having looked at twenty', async (t) => {
  t.strictSame(await together('twenty', 40), { 200: 40 });
  t.strictSame(
    [...twenty.come.values()].map(({ length }) => length),
    [40, 20],
  );
  t.match(await settledCounts(proxy, 'twenty'), { started: 40, completed: 40, upstreamFailed: 0 }, 'nothing has failed, and nothing was claimed twice');
  t.equal(await resent('twenty'), 20);
  t.equal(await failed('twenty'), 0);
  t.equal((await logged('twenty', 40)).filter(({ retries }) => retries === 1).length, 20, 'the log tells how often a request was sent again');
});

for (const [name, keeper] of Object.entries({ open, closed })) {
  t.test(`each connection takes ten requests and is ${name} then`, async (t) => {
    t.strictSame(await together(name, 40), { 200: 40 });
    t.equal(keeper.answered, 40, 'each was answered once');
    t.equal(await failed(name), 0);
  });
}

for (const [name, keeper] of Object.entries({ before, after })) {
  t.test(`each connection takes one request, and says so ${name} its answer`, async (t) => {
    t.strictSame(await together(name, 40), { 200: 40 });
    t.equal(keeper.answered, 40, 'each was answered once');
    t.match(await settledCounts(proxy, name), { started: 40, completed: 40, upstreamFailed: 0 }, 'and none has failed');
    t.equal(await failed(name), 0);
  });
}

t.test('a graceful end, under load, loses nothing and gets no further streams', async (t) => {
  const statuses: Record<number, number> = {};
  const visit = async (): Promise<void> => {
    using client = await RawClient.connect(proxy.port);
    for (let i = 0; i < 50; i++) {
      const { status } = await client.request(post('graceful'), DEADLINE);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 20 }, visit));
  t.strictSame(statuses, { 200: 1000 });
  t.ok(graceful.come.size > 10, `${graceful.come.size} connections`);
  t.match(await settledCounts(proxy, 'graceful'), { started: 1000, completed: 1000 });
  const late = [...graceful.come].flatMap(([peer, come]) => come.filter((stream) => stream > (graceful.ends.get(peer) ?? Infinity)));
  t.strictSame(late, [], 'none came behind the exact end');
});

t.test('a backend that always refuses is asked so often and no more', async (t) => {
  for (const [name, what, connections] of [
    ['resets', 'by a reset', 1],
    ['leaves', 'by going away', MOST_RESENT + 1],
    // One more was opened ahead of the first request.
    ['never', 'before anything was asked', MOST_RESENT + 2],
  ] as const) {
    await t.test(what, async (t) => {
      t.equal((await proxy.send(post(name), DEADLINE)).status, 502);
      t.match(await logged(name, 1), [{ reason: 'stream-refused', retries: MOST_RESENT }]);
      if (name !== 'never') t.equal(backends[name].requests, MOST_RESENT + 1);
      t.equal(backends[name].peers.length, connections, 'connections');
      t.equal(await resent(name), MOST_RESENT);
      t.equal(await failed(name), 1);
    });
  }
});

t.test('one that always refuses is passed over for another', async (t) => {
  t.strictSame(await together('refuses', 10), { 200: 10 });
  t.equal(backends.serves.requests, 10);
  t.match(await settledCounts(proxy, 'refuses'), { started: 10, completed: 10, upstreamFailed: 0 }, 'which has not failed');
  t.equal((await logged('refuses', 10)).filter(({ reason }) => reason !== null).length, 0);
  t.ok(backends.refuses.requests <= 20, `it was asked ${backends.refuses.requests} times`);
  const given = `switchyard_backend_requests_total{upstream="refuses",version="v1",backend="${backends.refuses.address}"}`;
  t.equal(await metric(given), backends.refuses.requests, 'which a counter that never goes down tells');
});

t.test('the only place on a backend is good for the next try', async (t) => {
  for (const [name, refusals] of [
    ['once', 1],
    ['twice', 2],
  ] as const) {
    t.equal((await proxy.send(post(name), DEADLINE)).status, 200, name);
    t.equal(backends[name].requests, refusals + 1);
    t.match(await settledCounts(proxy, name), { started: 1, completed: 1 });
  }
});

const received = (peer: H2Peer | undefined): Buffer =>
  Buffer.concat((peer?.frames ?? []).filter(({ type }) => type === FRAME.data).map(({ payload }) => payload));

t.test('a body that was begun is sent again from the start', async (t) => {
  const { peers } = backends.begun;
  using client = await RawClient.connect(proxy.port);
  const body = Buffer.alloc(30_000, 'abcdefghij');
  const bytes = requestBytes({ ...post('begun'), body });
  client.write(bytes.subarray(0, bytes.length - 10_000));
  await eventually('the first two thirds', () => received(peers.at(0)).length === 20_000);
  peers[0].write(goaway(0));
  await eventually('the same on another connection', () => received(peers.at(1)).length === 20_000);
  client.write(bytes.subarray(bytes.length - 10_000));
  await eventually('the rest', () => received(peers.at(1)).length === 30_000);
  peers[1].write(...hello(1));
  t.equal((await client.response('POST')).status, 200);
  t.ok(received(peers[1]).equals(body));
});

t.test('one of which not all is kept cannot be', async (t) => {
  const { large } = backends;
  using client = await RawClient.connect(proxy.port);
  client.write(requestBytes({ ...post('large'), body: Buffer.alloc(300_000) }));
  await eventually('a whole window', () => received(large.peers.at(0)).length === 65_535);
  large.peers[0].write(goaway(0));
  t.equal((await client.response('POST')).status, 502);
  t.equal(large.requests, 1);
  t.equal(await resent('large'), 0);
  t.match(await logged('large', 1), [{ reason: 'stream-refused', retries: 0 }]);
});
