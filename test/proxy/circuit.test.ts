import t from 'tap';
import type { Test } from 'tap';
import { h2Ask } from '../helpers/h2_ask.ts';
import { field, fieldAll } from '../helpers/message.ts';
import type { Response } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts, upstreamState } from './counts.ts';

/** A backend that answers when it is told to, and knows the most that it ever had. */
class Slow {
  readonly waiting: UpstreamConnection[] = [];
  readonly targets: string[] = [];
  mostRequests = 0;
  mostSockets = 0;
  #inFlight = 0;
  #upstream: RawUpstream | null = null;

  static async start(t: Test, hold: number | null): Promise<Slow> {
    const slow = new Slow();
    slow.#upstream = await RawUpstream.start(t, async (request, connection) => {
      await request.body;
      slow.mostSockets = Math.max(slow.mostSockets, slow.#upstream?.open ?? 0);
      slow.mostRequests = Math.max(slow.mostRequests, ++slow.#inFlight);
      slow.targets.push(request.target);
      slow.waiting.push(connection);
      if (hold === null) return;
      await new Promise((resolve) => setTimeout(resolve, hold));
      slow.answer();
    });
    return slow;
  }

  get address(): string {
    return this.#upstream?.address ?? '';
  }

  /** Answers the request that waits longest. */
  answer(): void {
    this.#inFlight--;
    this.waiting.shift()?.respond(200, 'ok');
  }
}

async function start(t: Test, backends: readonly Slow[], limits: Record<string, unknown>, more: Record<string, unknown> = {}, threads = 1): Promise<Proxy> {
  return Proxy.start(t, {
    dataThreads: threads,
    upstreams: {
      web: catchAll({ v1: backends.map(({ address }) => address) }, 'v1', { health: { kind: 'none' }, limits, ...more }),
    },
  });
}

function reason(response: Response): string {
  return `${response.status} ${/details="(.*)"/.exec(field(response, 'proxy-status') ?? '')?.[1] ?? ''}`;
}

const waiting = async (proxy: Proxy, count: number): Promise<void> => {
  await eventually(`${count} wait`, async () => (await upstreamState(proxy)).waiting === count);
};

t.test('past the limit requests wait in a queue, first in, first out', async (t) => {
  const slow = await Slow.start(t, null);
  const proxy = await start(t, [slow], { connections: 1, queue: { requests: 2, timeout: '2m' } });
  const one = proxy.send({ target: '/1' });
  await eventually('it is there', () => slow.targets.length === 1);
  const two = proxy.send({ target: '/2' });
  await waiting(proxy, 1);
  const three = proxy.send({ target: '/3', method: 'POST', body: 'a body' });
  await waiting(proxy, 2);
  t.match((await proxy.admin('/metrics')).text, /switchyard_waiting_requests\{upstream="web"\} 2/);
  const four = await proxy.send({ target: '/4' });
  t.equal(reason(four), '503 queue-full', 'the queue is bounded');
  t.equal(field(four, 'retry-after'), '1');
  slow.answer();
  t.equal((await one).status, 200);
  await eventually('the next is there', () => slow.targets.length === 2);
  const five = proxy.send({ target: '/5' });
  await waiting(proxy, 2);
  slow.answer();
  t.equal((await two).status, 200);
  await eventually('the next is there', () => slow.targets.length === 3);
  slow.answer();
  t.equal((await three).status, 200);
  await eventually('the next is there', () => slow.targets.length === 4);
  slow.answer();
  t.equal((await five).status, 200);
  t.strictSame(slow.targets, ['/1', '/2', '/3', '/5'], 'in the order in which they came');
  t.equal(slow.mostRequests, 1, 'with one thread the limit is exact');
  t.match(await settledCounts(proxy), { started: 4, completed: 4 });
});

t.test('a wait has an end, and one that is given up leaves its place', async (t) => {
  for (const timeout of ['150ms', '2m']) {
    const slow = await Slow.start(t, null);
    const proxy = await start(t, [slow], { connections: 1, queue: { requests: 1, timeout } });
    const one = proxy.send();
    await eventually('it is there', () => slow.targets.length === 1);
    if (timeout === '150ms') await outwaited(t, proxy);
    else await givenUp(proxy);
    slow.answer();
    t.equal((await one).status, 200);
    t.match(await settledCounts(proxy), { started: 1, completed: 1 });
  }
});

async function outwaited(t: Test, proxy: Proxy): Promise<void> {
  const late = await proxy.send();
  t.equal(reason(late), '503 queue-timeout');
  t.equal(field(late, 'retry-after'), '1');
  t.match((await proxy.admin('/metrics')).text, /switchyard_rejected_requests_total\{reason="queue-timeout"\} 1/);
}

async function givenUp(proxy: Proxy): Promise<void> {
  const gone = await RawClient.connect(proxy.port);
  gone.write('GET /gone HTTP/1.1\r\nHost: a\r\n\r\n');
  await waiting(proxy, 1);
  gone.destroy();
  await waiting(proxy, 0);
}

t.test('without a queue the answer comes at once', async (t) => {
  const slow = await Slow.start(t, null);
  const proxy = await start(t, [slow], { connections: 1 });
  const one = proxy.send();
  await eventually('it is there', () => slow.targets.length === 1);
  const full = await proxy.send();
  t.equal(reason(full), '503 backends-full');
  t.match(field(full, 'proxy-status'), /error=connection_limit_reached/);
  slow.answer();
  await one;
});

t.test('a cap on open connections holds, over all threads', async (t) => {
  const CAP = 3;
  const slow = await Promise.all([Slow.start(t, 2), Slow.start(t, 2)]);
  const port = await freePort();
  const upstream = catchAll({ v1: slow.map(({ address }) => address) }, 'v1', {
    health: { kind: 'none' },
    limits: { sockets: CAP, queue: { requests: 1000, timeout: '2m' } },
  });
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    upstreams: { web: upstream },
  });
  const clients = Array.from({ length: 24 }, async () => {
    using client = await RawClient.connect(port);
    const statuses: number[] = [];
    for (let i = 0; i < 15; i++) statuses.push((await client.request({}, 30_000)).status);
    return statuses;
  });
  const streams = Array.from({ length: 10 }, async () => [(await h2Ask(port, {})).status]);
  const statuses = (await Promise.all([...clients, ...streams])).flat();
  t.strictSame([...new Set(statuses)], [200], `${statuses.length} requests of clients on both threads have all found a place`);
  for (const { mostSockets } of slow) t.ok(mostSockets > 0 && mostSockets <= CAP + 1, `${mostSockets} open at most: two threads may dial in the same instant`);
  t.match(await settledCounts(proxy), { started: statuses.length, completed: statuses.length });
});

t.test('a cookie binds a client to its backend', async (t) => {
  const slow = await Promise.all(Array.from({ length: 4 }, () => Slow.start(t, 0)));
  const proxy = await start(t, slow, {}, { sticky: { backend: { cookie: 'sy_backend' } } });
  const of = (): number[] => slow.map(({ targets }) => targets.length);
  const first = await proxy.send();
  const [line] = fieldAll(first, 'set-cookie');
  t.match(line, /^sy_backend=[0-9a-f]{16}; Path=\/; HttpOnly; SameSite=Lax$/, 'it says nothing of the address');
  const chosen = of().indexOf(1);
  const cookie = line.split(';')[0];
  for (let i = 0; i < 20; i++) t.same(fieldAll(await proxy.send({ fields: [['Cookie', cookie]] }), 'set-cookie'), []);
  t.equal(of()[chosen], 21, 'all of its requests go there');
  const marks = new Set<string>();
  for (let i = 0; i < 80; i++) marks.add(fieldAll(await proxy.send(), 'set-cookie').join());
  t.equal(marks.size, 4, 'who has none is balanced');
  const stopped = await proxy.admin(`/v1/upstreams/web/backends/${slow[chosen].address}/drain`, { method: 'POST' });
  t.ok(stopped.status < 300, stopped.text);
  const moved = await proxy.send({ fields: [['Cookie', cookie]] });
  t.equal(moved.status, 200);
  t.match(fieldAll(moved, 'set-cookie').join(), /^sy_backend=/, 'when it is gone the client gets another');
  t.notMatch(fieldAll(moved, 'set-cookie').join(), cookie);
});

t.test('a bound client waits for its backend, or gets another this once where nobody waits', async (t) => {
  for (const queue of [null, { requests: 10, timeout: '2m' }]) {
    const slow = await Promise.all([Slow.start(t, null), Slow.start(t, null)]);
    const proxy = await start(t, slow, { connections: 1, queue }, { sticky: { backend: { cookie: 'b' } } });
    const first = proxy.send();
    await eventually('it is there', () => slow.some(({ targets }) => targets.length === 1));
    const [own, other] = slow[0].targets.length === 1 ? slow : slow.toReversed();
    own.answer();
    const cookie = fieldAll(await first, 'set-cookie')
      .join()
      .split(';')[0];
    const bound = (): ReturnType<Proxy['send']> => proxy.send({ fields: [['Cookie', cookie]] });
    const busy = bound();
    await eventually('it is there', () => own.targets.length === 2);
    const next = bound();
    if (queue === null) {
      await eventually('it went to the other', () => other.targets.length === 1);
      other.answer();
      t.same(fieldAll(await next, 'set-cookie'), [], 'and stays bound to its own');
      own.answer();
    } else {
      await waiting(proxy, 1);
      own.answer();
      await eventually('it went to its own', () => own.targets.length === 3);
      own.answer();
      t.equal((await next).status, 200);
      t.equal(other.targets.length, 0);
    }
    t.equal((await busy).status, 200);
  }
});
