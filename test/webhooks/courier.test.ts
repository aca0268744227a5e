import t from 'tap';
import type { Test } from 'tap';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { WebhookPolicy } from '../../src/pool/webhook.ts';
import { Courier } from '../../src/webhooks/courier.ts';
import type { Answered } from '../../src/webhooks/courier.ts';
import { Outbox } from '../../src/webhooks/outbox.ts';
import type { Delivery } from '../../src/webhooks/outbox.ts';
import { tempDir } from '../helpers/temp.ts';

const POLICY: WebhookPolicy = {
  name: 'ci',
  url: 'http://receiver/hook',
  secret: 'a secret of some length',
  events: ['live'],
  upstreams: null,
  timeout: 1_000,
  maxAge: 60_000,
  attempts: 5,
  backoff: { base: 100, max: 1_000 },
  queue: 4,
};

function delivery(id: string, upstream: string | null = 'web', origin: Delivery['origin'] = null): Delivery {
  return { id, upstream, at: 0, body: JSON.stringify({ id }), origin };
}

/** A receiver and a clock that do what the test says. */
class World {
  now = 0;
  random = 0.5;
  readonly asked: string[] = [];
  /** When each was asked. */
  readonly at: number[] = [];
  readonly warnings: string[] = [];
  /** What was under way and broken off. */
  readonly broken: string[] = [];
  answer: (id: string) => Answered | Error | 'silent' = () => ({ status: 204, retryAfter: null });
  private timers: { at: number; run: () => void }[] = [];

  courier(outbox: Outbox, policy: WebhookPolicy = POLICY): Courier {
    return new Courier(policy, outbox, {
      now: () => this.now,
      after: (ms, run) => {
        const timer = { at: this.now + ms, run };
        this.timers.push(timer);
        return () => void (this.timers = this.timers.filter((other) => other !== timer));
      },
      random: () => this.random,
      post: (_url, _fields, body, signal) => {
        const { id } = JSON.parse(body) as { id: string };
        this.asked.push(id);
        this.at.push(this.now);
        const answer = this.answer(id);
        if (answer === 'silent')
          return new Promise((_, reject) =>
            signal.addEventListener('abort', () => {
              this.broken.push(id);
              reject(new Error('aborted'));
            }),
          );
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      warn: (message) => this.warnings.push(message),
    });
  }

  /** Lets time pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      for (let i = 0; i < 20; i++) await Promise.resolve();
      const next = this.timers
        .filter(({ at }) => at <= until)
        .sort((a, b) => a.at - b.at)
        .at(0);
      if (next === undefined) break;
      this.now = next.at;
      this.timers = this.timers.filter((timer) => timer !== next);
      next.run();
    }
    this.now = until;
  }
}

async function outboxOf(t: Test, since = 0): Promise<{ outbox: Outbox; path: string; again: () => Outbox }> {
  const path = join(await tempDir(t), 'ci.jsonl');
  const outbox = new Outbox(path, since, t.fail);
  return { outbox, path, again: () => new Outbox(path, since, t.fail) };
}

function give(outbox: Outbox, courier: Courier, ...items: readonly Delivery[]): void {
  for (const item of items) {
    outbox.put(item);
    courier.take(item);
  }
}

t.test('an upstream is told in order, and one that fails holds up no other', async (t) => {
  const world = new World();
  const { outbox } = await outboxOf(t);
  const courier = world.courier(outbox);
  world.answer = (id) => ({ status: id === 'w1' && world.now < 300 ? 500 : 200, retryAfter: null });
  give(outbox, courier, delivery('w1'), delivery('w2'), delivery('a1', 'api'), delivery('a2', 'api'));
  await world.pass(0);
  t.strictSame(world.asked, ['w1', 'a1', 'a2']);
  t.match(courier.state, { delivered: 2, failed: 1, nextAttempt: 100, lastFailure: { why: 'the receiver answered 500' } });
  await world.pass(1_000);
  t.strictSame(world.asked.slice(3), ['w1', 'w1', 'w2'], 'after 100 and 300 ms');
  t.equal(outbox.waiting.size, 0);
  t.match(courier.state, { delivered: 4, failed: 2, dead: 0, nextAttempt: null });
});

t.test('the pauses double up to the most, a fifth more or less by chance', async (t) => {
  for (const [random, expected] of [
    [0.5, [0, 100, 300, 700, 1_500, 2_500, 3_500]],
    [0, [0, 80, 240, 560, 1_200, 2_000, 2_800, 3_600]],
    [1, [0, 120, 360, 840, 1_800, 3_000]],
  ] as const) {
    const world = new World();
    world.random = random;
    world.answer = () => ({ status: 500, retryAfter: null });
    const { outbox } = await outboxOf(t);
    give(outbox, world.courier(outbox, { ...POLICY, attempts: 100 }), delivery('w1'));
    await world.pass(3_600);
    t.strictSame(
      world.at.map((at) => Math.round(at)),
      expected,
      `random ${random}`,
    );
  }
});

t.test('a receiver that says when to come back, or says nothing, is waited for', async (t) => {
  const world = new World();
  const { outbox } = await outboxOf(t);
  const courier = world.courier(outbox);
  world.answer = () => (world.now === 0 ? { status: 429, retryAfter: 5_000 } : 'silent');
  give(outbox, courier, delivery('w1'));
  await world.pass(4_999);
  t.equal(world.asked.length, 1);
  await world.pass(1);
  t.equal(world.asked.length, 2);
  await world.pass(1_000);
  t.equal(courier.state.lastFailure?.why, 'no answer within 1000 ms');
});

t.test('what is too old, was tried too often or is too much is given up, and can be sent once more', async (t) => {
  const world = new World();
  const { outbox, again } = await outboxOf(t);
  const courier = world.courier(outbox, { ...POLICY, maxAge: 1_000, attempts: 100 });
  world.answer = () => new Error('no route to host');
  give(outbox, courier, ...['1', '2', '3', '4', '5', '6'].map((n) => delivery(`w${n}`)));
  t.strictSame([...outbox.dead.keys()], ['w2', 'w3'], 'the oldest that is not under way');
  t.match(world.warnings, [/w2 is given up: more than 4 deliveries waited/, /w3/]);
  await world.pass(10_000);
  t.strictSame([...outbox.dead.keys()], ['w2', 'w3', 'w1', 'w4', 'w5', 'w6']);
  t.equal(outbox.dead.get('w1')?.why, 'no route to host, after 5 attempts', 'the one at 1 500 ms was too late');
  courier.close();
  outbox.close();
  const kept = again();
  t.strictSame([...kept.dead.keys()], ['w2', 'w3', 'w1', 'w4', 'w5', 'w6'], 'also after a restart');
  const next = world.courier(kept, { ...POLICY, queue: 100 });
  world.answer = () => ({ status: 200, retryAfter: null });
  world.asked.length = 0;
  for (const item of kept.again()) next.take(item);
  await world.pass(0);
  t.strictSame(world.asked, ['w2', 'w3', 'w1', 'w4', 'w5', 'w6']);
  t.strictSame([kept.dead.size, kept.waiting.size], [0, 0]);
  next.close();
  kept.close();
  const last = again();
  t.strictSame([last.dead.size, last.waiting.size], [0, 0], 'and that is on disk');
});

t.test('what was tried in vain before a restart is not tried at once, and not more often than it may be', async (t) => {
  const world = new World();
  const { outbox, again } = await outboxOf(t);
  world.answer = () => ({ status: 500, retryAfter: null });
  const courier = world.courier(outbox);
  give(outbox, courier, delivery('w1'), delivery('w2'), delivery('a1', 'api'));
  await world.pass(600);
  t.strictSame(
    world.asked.filter((id) => id === 'w1'),
    ['w1', 'w1', 'w1'],
    'after 0, 100 and 300 ms; the next is due at 700',
  );
  courier.close();
  outbox.close();
  world.asked.length = 0;
  const kept = again();
  t.strictSame(kept.triesOf('w1'), { attempts: 3, next: 700 });
  const next = world.courier(kept);
  t.equal(next.state.nextAttempt, 700);
  await world.pass(99);
  t.strictSame(world.asked, [], 'not at once');
  await world.pass(1);
  t.strictSame(world.asked.toSorted(), ['a1', 'w1']);
  await world.pass(799);
  t.strictSame(world.asked.toSorted(), ['a1', 'w1'], 'the backoff goes on where it was');
  await world.pass(1);
  t.match(kept.dead.get('w1')?.why, /after 5 attempts$/);
  t.match(kept.dead.get('a1')?.why, /after 5 attempts$/);
  t.equal(world.asked.filter((id) => id === 'w2').length, 1, 'the next begins with its own first attempt');
  t.strictSame(kept.triesOf('w2'), { attempts: 1, next: 1_600 });
});

t.test('a clock that was set back does not put an attempt off for ever; one that waited through a long stop is tried at once', async (t) => {
  const world = new World();
  const { outbox, again } = await outboxOf(t);
  world.now = 10 * 86_400_000;
  outbox.put(delivery('w1'));
  outbox.failed('w1', { attempts: 1, next: world.now + 500 });
  outbox.close();
  world.now = 0;
  const back = world.courier(again());
  t.equal(back.state.nextAttempt, 3_600_000);
  back.close();
  world.now = 11 * 86_400_000;
  world.courier(again(), { ...POLICY, maxAge: Infinity });
  await world.pass(0);
  t.strictSame(world.asked, ['w1']);
});

t.test('what is sent once more by hand begins with its first attempt, also after a restart', async (t) => {
  const world = new World();
  const { outbox, again } = await outboxOf(t);
  world.answer = () => new Error('no route to host');
  const courier = world.courier(outbox);
  give(outbox, courier, delivery('w1'));
  await world.pass(400);
  t.equal(outbox.triesOf('w1')?.attempts, 3);
  courier.hurry();
  await world.pass(0);
  t.equal(world.asked.length, 4, 'at once');
  t.equal(outbox.triesOf('w1')?.attempts, 1);
  courier.close();
  outbox.close();
  t.equal(again().triesOf('w1')?.attempts, 1);
});

t.test('one that is closed sends nothing more: what is under way is broken off, and waits on disk', async (t) => {
  const world = new World();
  const { outbox } = await outboxOf(t);
  const courier = world.courier(outbox);
  world.answer = (id) => (id === 'w1' ? 'silent' : { status: 500, retryAfter: null });
  give(outbox, courier, delivery('w1'), delivery('a1', 'api'));
  await world.pass(0);
  courier.close();
  t.strictSame(world.broken, ['w1']);
  give(outbox, courier, delivery('b1', 'other'));
  await world.pass(100_000);
  t.strictSame(world.asked, ['w1', 'a1']);
  t.strictSame([...outbox.waiting.keys()], ['w1', 'a1', 'b1']);
});

t.test('at most eight upstreams are told of at a time, and the others come after them', async (t) => {
  const world = new World();
  const { outbox } = await outboxOf(t);
  const courier = world.courier(outbox, { ...POLICY, queue: 100 });
  world.answer = () => 'silent';
  give(outbox, courier, ...Array.from({ length: 12 }, (_, i) => delivery(`d${i}`, `u${i}`)));
  await world.pass(0);
  t.equal(world.asked.length, 8);
  world.answer = () => ({ status: 200, retryAfter: null });
  await world.pass(2_000);
  t.equal(outbox.waiting.size, 0);
});

t.test('an event of the journal is put in once, and not when it is older than the receiver', async (t) => {
  const { outbox, again } = await outboxOf(t, 10);
  const of = (seq: number, n: number, upstream = 'web'): Delivery => delivery(`${upstream}-${seq}-${n}`, upstream, { seq, n });
  t.equal(outbox.has(of(10, 0)), true, 'from before');
  outbox.put(of(12, 0));
  outbox.put(of(12, 1));
  outbox.done('web-12-0');
  outbox.close();
  const later = again();
  t.strictSame([...later.waiting.keys()], ['web-12-1']);
  t.strictSame(
    [of(10, 0), of(12, 0), of(12, 1), of(11, 5)].map((item) => later.has(item)),
    [true, true, true, true],
  );
  t.strictSame(
    [of(12, 2), of(13, 0), of(11, 0, 'api')].map((item) => later.has(item)),
    [false, false, false],
  );
});

t.test('a file that has grown is begun anew with what is needed', async (t) => {
  const { outbox, path, again } = await outboxOf(t);
  const body = 'x'.repeat(10_000);
  for (let i = 0; i < 300; i++) {
    outbox.put({ ...delivery(`d${i}`, 'web', { seq: i + 1, n: 0 }), body });
    if (i > 0) outbox.done(`d${i}`);
  }
  outbox.giveUp(outbox.waiting.get('d0')!, 'too old', 5);
  outbox.put(delivery('last'));
  outbox.failed('last', { attempts: 7, next: 9 });
  for (let i = 0; i < 300; i++) {
    outbox.put({ ...delivery(`e${i}`), body });
    outbox.done(`e${i}`);
  }
  outbox.close();
  t.ok(statSync(path).size < 2 * 1_048_576, 'of six megabytes that went through it');
  const later = again();
  t.strictSame([...later.waiting.keys()], ['last']);
  t.strictSame(later.triesOf('last'), { attempts: 7, next: 9 });
  t.strictSame([...later.dead.keys()], ['d0']);
  t.equal(later.has(delivery('d299', 'web', { seq: 300, n: 0 })), true);
});
