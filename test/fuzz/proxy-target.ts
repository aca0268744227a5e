import type { ClientConnection } from '../../src/proxy/client.ts';
import { mutate } from './mutate.ts';
import { Backend, Client, OF_A_COPY, checkAnswers } from './peers.ts';
import type { Prng } from './prng.ts';
import { seedOf } from './seeds.ts';
import type { Seeds } from './seeds.ts';
import { expect } from './failure.ts';
import { LONGEST_MS, MIRRORED_AT_ONCE, TRUSTED, type World } from './world.ts';

const MOST_STEPS = 400;
const PAUSES = [50, 100, 1_000, 2_100, 3_100, 4_100, 10_100, 30_100, 60_100, LONGEST_MS];
/** Kind of answer that switches protocols. */
const SWITCH = 3;
/** Paths of all upstreams; and of those that show what they do only when several requests meet in them. */
const EVERYWHERE = ['/', '/a', '/a/', '/r', '/r/x', '/m', '/q'];
const MEETING = [
  ['/m', '/m/x', '/m/y'],
  ['/q', '/q/x', '/q/y'],
];
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** One scenario: some clients, some backends, hostile by turns, and the clock, in an order that follows from the seed. */
export class Scenario {
  /** What was done, for a reproducer. */
  readonly steps: string[] = [];
  private readonly clients = new Map<string, Client>();
  private readonly backends: Backend[] = [];
  private readonly world: World;
  private readonly seeds: Seeds;
  private readonly rng: Prng;
  /** Where its clients go, and how many percent of what they send are requests as they should be. */
  private readonly paths: readonly string[];
  private readonly proper: number;

  constructor(world: World, seeds: Seeds, rng: Prng) {
    this.world = world;
    this.seeds = seeds;
    this.rng = rng;
    const meeting = rng.chance(40);
    this.paths = meeting ? rng.pick(MEETING) : EVERYWHERE;
    this.proper = meeting ? 85 : 50;
  }

  /** @returns how many answers the clients got. @throws Failure, or what the proxy has thrown */
  run(): number {
    const { rng, world } = this;
    const { random } = Math;
    const { queueMicrotask: soon } = globalThis;
    Math.random = rng.float;
    globalThis.queueMicrotask = (task) => world.ticks.later(task);
    try {
      for (let i = 1 + rng.below(this.paths === EVERYWHERE ? 3 : 5); i > 0; i--) this.join();
      for (let step = 0; step < MOST_STEPS && this.busy; step++) {
        this.step();
        this.look();
      }
      world.end(() => this.look());
      for (const backend of this.backends) backend.checkTunnel();
      let answers = 0;
      const attempts = this.backends.flatMap((backend) => backend.attempts);
      for (const client of this.clients.values()) answers += checkAnswers(client, attempts, this.clients);
      world.check();
      return answers;
    } finally {
      Math.random = random;
      globalThis.queueMicrotask = soon;
    }
  }

  private get busy(): boolean {
    for (const client of this.clients.values()) if (client.packets.length > 0 && !client.socket.destroyed) return true;
    return this.backends.some(({ script, socket }) => script.length > 0 && !socket.destroyed) || this.rng.chance(70);
  }

  private note(what: string): void {
    this.steps.push(what);
  }

  // ── clients ─────────────────────────────────────────────────────────────────────────────────────

  private join(): void {
    const { rng } = this;
    const tag = `~${Array.from({ length: 10 }, () => LETTERS[rng.below(26)]).join('')}~`;
    const address = `10.2.0.${this.clients.size + 1}`;
    const stream = this.stream(tag);
    const packets: string[] = [];
    let from = 0;
    for (const cut of [...rng.cuts(stream.length), stream.length]) {
      packets.push(stream.slice(from, cut));
      from = cut;
    }
    const client = new Client(tag, address, address === TRUSTED, this.world.accept(address), packets);
    if (rng.chance(10)) client.socket.open(rng.below(300));
    this.clients.set(address, client);
    this.note(`client ${address} ${tag}: ${JSON.stringify(packets)}`);
  }

  /** One to four requests behind one another, some of them hostile. */
  private stream(tag: string): string {
    const { rng } = this;
    const other = (): string => seedOf(this.seeds, 'request', rng);
    let text = '';
    for (let i = 0, count = 1 + rng.below(4); i < count; i++) {
      const one = rng.chance(this.proper) ? this.request(tag, i) : marked(other(), tag);
      text += rng.chance(95 - this.proper) ? mutate(one, rng, other, 3) : one;
    }
    return text;
  }

  private request(tag: string, i: number): string {
    const { rng } = this;
    const target = rng.pick(this.paths);
    const head = `${target}?${tag}${i} HTTP/1.1\r\nHost: ${this.paths === EVERYWHERE && rng.chance(50) ? 'b.example' : 'a.example'}\r\nX-Tag: ${tag}\r\n`;
    const large = rng.chance(2);
    const body = tag.repeat(rng.below(large ? 20_000 : 6));
    const close = rng.chance(10) ? 'Connection: close\r\n' : '';
    switch (rng.below(5)) {
      case 0:
        return `${rng.pick(['POST', 'PUT'])} ${head}Content-Length: ${body.length}\r\n${close}\r\n${body}`;
      case 1:
        return `POST ${head}Transfer-Encoding: chunked\r\n${close}\r\n${chunked(body, rng)}`;
      case 2:
        return `HEAD ${head}${close}\r\n`;
      case 3:
        return rng.chance(60) ? `GET ${head}${close}\r\n` : `GET ${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${tag.repeat(rng.below(3))}`;
      default:
        return `GET ${head}${close}\r\n`;
    }
  }

  // ── steps ───────────────────────────────────────────────────────────────────────────────────────

  private step(): void {
    const { rng, world } = this;
    const kind = rng.below(100);
    world.batch++;
    if (kind < 45) this.clientStep(rng.pick([...this.clients.values()]));
    else if (kind < 90 && this.backends.length > 0) this.apart(rng.pick(this.backends));
    else if (kind < 95) {
      const pause = rng.pick(rng.chance(70) ? PAUSES.slice(0, 3) : PAUSES);
      this.note(`${pause} ms pass`);
      world.advance(pause);
    } else this.operate();
    world.ticks.settle();
    world.turn();
    world.checkQueue();
  }

  /** A step of a backend; what one does that has a copy, nobody else may notice. */
  private apart(backend: Backend): void {
    const { world } = this;
    if (!backend.hasCopy) return this.backendStep(backend);
    const before = this.others(backend);
    this.backendStep(backend);
    world.ticks.settle();
    // One that has got another request in the same turn is not asked.
    if (!backend.hasCopy && !backend.socket.destroyed) return;
    expect(this.others(backend) === before, () => `what a backend has done with a copy is noticed by others:\n${before}\n${this.others(backend)}`);
  }

  /** What the clients, and the backends with requests, have got, and whether they are listened to. */
  private others(but: Backend): string {
    const clients = [...this.clients.values()].map(({ socket }) => `${socket.written.length} ${socket.isPaused()} ${socket.destroyed}`);
    const backends = this.backends.filter((one) => one !== but).map(({ socket }) => `${socket.written.length} ${socket.isPaused()} ${socket.destroyed}`);
    return `${clients.join(', ')} | ${backends.join(', ')}`;
  }

  private clientStep(client: Client): void {
    const { rng } = this;
    const { socket } = client;
    if (socket.destroyed) return;
    const kind = rng.below(100);
    if (kind < 4) {
      this.note(`${client.address} ends`);
      client.packets.length = 0;
      socket.finish();
    } else if (kind < 7) {
      this.note(`${client.address} resets`);
      client.disturbed = true;
      client.packets.length = 0;
      socket.reset();
    } else if (kind < 12) {
      const bytes = rng.chance(60) ? Infinity : rng.below(2_000);
      this.note(`${client.address} takes ${bytes}`);
      socket.open(bytes);
    } else {
      const packet = client.packets.shift();
      if (packet === undefined) return;
      this.note(`${client.address} sends ${packet.length}`);
      client.send(packet);
    }
  }

  /** What an operator may do at any time. */
  private operate(): void {
    const { rng, world } = this;
    const kind = rng.below(6);
    this.note(`operator ${kind}`);
    if (kind === 0) world.control.setAvailable(rng.pick(world.slots), rng.chance(50));
    else if (kind === 1) world.hold(rng.pick(['web', 'small', 'mirrored', 'queued', null]));
    else if (kind === 4) world.turnRound();
    else if (kind === 5) world.cutCopies();
    else if (world.ctx.clients.size > 0) {
      const one = rng.pick([...world.ctx.clients]);
      for (const client of this.clients.values()) if (Object.is(client.socket, one.socket)) client.disturbed = true;
      if (one.exchange.inFlight) end(one, kind === 2);
    }
  }

  // ── backends ────────────────────────────────────────────────────────────────────────────────────

  /** Sees what has reached whom. */
  private look(): void {
    const { dialled } = this.world;
    for (let i = this.backends.length; i < dialled.length; i++) this.backends.push(new Backend(dialled[i]));
    for (const client of this.clients.values()) client.scan();
    for (const backend of this.backends) backend.scan(this.clients);
    const copies = this.backends.filter((backend) => backend.busy && backend.hasCopy).length;
    expect(copies <= MIRRORED_AT_ONCE, () => `${copies} copies are under way`);
    for (const host of this.world.lonely) {
      const busy = this.backends.filter((backend) => backend.socket.remoteAddress === host && backend.busy).length;
      expect(busy <= 1, () => `${busy} requests at a time on a backend that takes one`);
    }
  }

  private backendStep(backend: Backend): void {
    const { rng } = this;
    const { socket, current } = backend;
    if (socket.destroyed || backend.closed) return;
    const name = this.backends.indexOf(backend);
    if (socket.connecting) {
      const refused = rng.chance(12);
      this.note(`backend ${name} ${refused ? 'refuses' : 'accepts'}`);
      if (rng.chance(8)) socket.open(rng.below(500));
      if (refused) socket.reset('ECONNREFUSED');
      else socket.connect();
      return;
    }
    // A next request is on its way, and what the backend says now is taken for its answer.
    if (backend.script.length > 0 && current?.message.complete === true && socket.sent.length < socket.written.length) {
      socket.open(Infinity);
      this.look();
    }
    const packet = backend.script.shift();
    if (packet !== undefined) {
      this.note(`backend ${name} sends ${JSON.stringify(packet)}`);
      this.sendNext(backend, packet);
      if (backend.script.length === 0 && backend.after !== 'keep') this.hangUp(backend, name);
    } else if (backend.mute && backend.hasCopy) this.note(`backend ${name} says nothing`);
    else if (rng.chance(10)) socket.open(rng.chance(70) ? Infinity : rng.below(1_000));
    else if (current !== undefined && current.answer === '' && (current.message.complete || rng.chance(30))) this.plan(backend);
    else this.surprise(backend, name);
  }

  /** The next packet, and at times more in the same turn: if the connection has a new user by then, that is not for him. */
  private sendNext(backend: Backend, packet: string): void {
    const { rng } = this;
    const { socket, current } = backend;
    const before = socket.written.length;
    backend.send(packet);
    const reused = current?.message.complete === true && socket.written.length > before && !current.client.question(current.index).upgrade;
    this.look();
    if (current === undefined || backend.script.length > 0 || !rng.chance(5)) return;
    const more = marked(seedOf(this.seeds, 'response', rng), current.copy ? OF_A_COPY : current.client.tag);
    this.note(`and more: ${JSON.stringify(more)}`);
    if (reused) socket.deliver(more);
    else backend.send(more);
    this.look();
    if (reused) backend.surprised = true;
  }

  private surprise(backend: Backend, name: number): void {
    const { rng } = this;
    const { socket, current } = backend;
    const kind = rng.below(100);
    if (kind < 5) this.hangUp(backend, name);
    else if (kind < 7) {
      this.note(`backend ${name} takes no more`);
      socket.sever();
    }
    // Late, or while it is idle. Before the head has come it could not be told from an early answer.
    else if (kind < 14 && current !== undefined && socket.sent.length === socket.written.length) {
      this.note(`backend ${name} speaks unasked`);
      backend.send(marked(seedOf(this.seeds, 'response', rng), current.copy ? OF_A_COPY : current.client.tag));
    }
  }

  private hangUp(backend: Backend, name: number): void {
    const reset = backend.after === 'reset' || this.rng.chance(30);
    this.note(`backend ${name} ${reset ? 'resets' : 'ends'}`);
    if (reset) backend.socket.reset();
    else backend.socket.finish();
    backend.script = [];
    backend.closed = true;
  }

  /** Decides what to answer, in which pieces, and what comes after. */
  private plan(backend: Backend): void {
    const { rng } = this;
    const { client, copy } = backend.current!;
    if (copy && rng.chance(20)) return this.fail(backend);
    const tag = copy ? `${client.tag}${OF_A_COPY}` : client.tag;
    const other = (): string => seedOf(this.seeds, 'response', rng);
    const { upgrade } = client.question(backend.current!.index);
    let text = rng.chance(70) ? this.answer(tag, upgrade && rng.chance(60) ? SWITCH : rng.below(8)) : marked(other(), tag);
    if (rng.chance(35)) text = mutate(text, rng, other, 3);
    if (rng.chance(5)) text += marked(other(), tag);
    let from = 0;
    for (const cut of [...rng.cuts(text.length), text.length]) {
      if (cut > from) backend.script.push(text.slice(from, cut));
      from = cut;
    }
    backend.after = rng.pick(['keep', 'keep', 'keep', 'keep', 'end', 'reset']);
  }

  /** What a version that is tried out may do to copies: nothing at all, take no more, no HTTP, announcements or a body without an end. */
  private fail(backend: Backend): void {
    const { rng } = this;
    const kind = rng.below(5);
    this.note(`backend ${this.backends.indexOf(backend)} fails a copy: ${kind}`);
    if (kind === 0) backend.mute = true;
    else if (kind === 1) backend.socket.open(0);
    else if (kind === 2) backend.script.push(`${OF_A_COPY}\r\n\r\n`);
    else if (kind === 3) for (let i = rng.below(30); i > 0; i--) backend.script.push('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(rng.chance(10) ? 3_000 : 3));
    else {
      backend.script.push(`HTTP/1.1 200 OK\r\n\r\n${OF_A_COPY}`);
      for (let i = rng.below(4); i > 0; i--) backend.script.push(OF_A_COPY.repeat(rng.chance(10) ? 30_000 : 10));
    }
  }

  private answer(tag: string, kind: number): string {
    const { rng } = this;
    const large = rng.chance(3);
    const body = tag.repeat(rng.below(large ? 9_000 : 8));
    const type = rng.chance(10) ? 'Content-Type: text/event-stream\r\n' : '';
    const before = rng.chance(10) ? `HTTP/1.1 103 Early Hints\r\nX-Tag: ${tag}\r\n\r\n` : '';
    const head = `${before}HTTP/1.1 ${rng.pick(['200 OK', '200 OK', '201 Created', '404 Not Found', '500 Oh'])}\r\nX-Tag: ${tag}\r\n${type}`;
    switch (kind) {
      case 0:
        return `${head}Transfer-Encoding: chunked\r\n\r\n${chunked(body, rng)}`;
      case 1:
        return `${head}\r\n${body}`;
      case 2:
        return `HTTP/1.1 ${rng.pick(['204 No Content', '304 Not Modified'])}\r\nX-Tag: ${tag}\r\n\r\n`;
      case SWITCH:
        return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${rng.pick(['websocket', 'other'])}\r\nX-Tag: ${tag}\r\n\r\n${body}`;
      case 4:
        return `${head}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      default:
        return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    }
  }
}

function end(client: ClientConnection, politely: boolean): void {
  if (politely) client.exchange.closePolitely(1_000);
  else client.exchange.kill();
}

/** The message with a line that says whose it is. */
function marked(text: string, tag: string): string {
  const at = text.indexOf('\r\n', 2);
  return at === -1 ? text : `${text.slice(0, at + 2)}X-Tag: ${tag}\r\n${text.slice(at + 2)}`;
}

function chunked(body: string, rng: Prng): string {
  let text = '';
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + rng.below(40 + body.length / 8));
    text += `${size.toString(16)}${rng.chance(10) ? ';a=b' : ''}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${rng.chance(10) ? 'X-Sum: 1\r\n' : ''}\r\n`;
}
