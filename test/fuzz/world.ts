import { forwarderOf } from '../../src/http/forward-request.ts';
import { parseUpstream, parseConfig } from '../../src/config/parse.ts';
import { Intake } from '../../src/data/intake.ts';
import { Wheel } from '../../src/data/wheel.ts';
import { ClientTableControl } from '../../src/ledger/clients-control.ts';
import { ClientTable } from '../../src/ledger/clients.ts';
import { ControlLedger, emptyCounts } from '../../src/ledger/control.ts';
import { EDGE } from '../../src/ledger/layout.ts';
import { ThreadLedger } from '../../src/ledger/thread.ts';
import type { TableUpstream, TableVersion } from '../../src/pool/table.ts';
import { AccessLog } from '../../src/proxy/access-log.ts';
import { Callers } from '../../src/proxy/callers.ts';
import { ClientConnection } from '../../src/proxy/client.ts';
import { Context } from '../../src/proxy/context.ts';
import { endpointsOf } from '../../src/proxy/trust.ts';
import type { CompiledTable } from '../../src/proxy/targets.ts';
import { expect } from './failure.ts';
import { MemorySocket, Ticks } from './memory-socket.ts';

const EPOCH = 1_700_000_000_000;
const TICK_MS = 50;
/** Longer than any deadline of the table below. */
export const LONGEST_MS = 125_000;
/** A pipeline of so many requests, each of which waits for its deadline, has come to its end. */
const MOST_LEAPS = 3_000;

/** This client is a trusted proxy: what it says in forwarding fields goes on. */
export const TRUSTED = '10.2.0.3';

const config = parseConfig({
  listeners: [{ port: 8080 }],
  accessLog: 'full',
  trustedProxies: [TRUSTED],
  upstreams: { web: { routes: [{ host: '*', path: '/' }] } },
});

/** What may be copied of a body, and how many copies may be under way. */
export const MIRRORED_BODY = 40;
export const MIRRORED_AT_ONCE = 2;
/** How many may wait for a place. */
const QUEUED = 2;

const UPSTREAMS = {
  web: { routes: [{ host: '*', path: '/' }], timeouts: { tunnel: '2m' } },
  /** Little room everywhere, and requests that wait at the door. */
  small: {
    routes: [{ host: 'b.example', path: '/' }],
    limits: { body: 40, connections: 1, sockets: 2 },
    hold: { queue: 2, timeout: '5s', whenUnavailable: true },
    timeouts: { tunnel: '2m' },
  },
  /** Two versions, told apart by a cookie, a pin or a preview field; what one does not have the other is asked for. */
  split: {
    routes: [{ host: '*', path: '/a' }],
    sticky: { cookie: 'side' },
    skew: { pin: { cookie: 'a' }, assets: ['/'] },
    preview: { header: 'x-version' },
    versionHeader: 'X-Version',
    timeouts: { tunnel: '2m' },
  },
  /** One version gets requests, the other copies of them; an operator may turn that round. */
  mirrored: {
    routes: [{ host: '*', path: '/m' }],
    mirror: { percent: 70, methods: ['GET', 'HEAD', 'POST'], maxBody: MIRRORED_BODY, concurrency: MIRRORED_AT_ONCE, timeout: '4s' },
    timeouts: { tunnel: '2m' },
  },
  /** One request at a time on each backend, and few that wait for a place. */
  queued: {
    routes: [{ host: '*', path: '/q' }],
    limits: { connections: 1, queue: { requests: QUEUED, timeout: '3s' } },
    timeouts: { tunnel: '2m' },
  },
  /** Changes fields on both ways. */
  ruled: {
    routes: [
      {
        host: '*',
        path: '/r',
        methods: ['GET', 'HEAD', 'POST', 'PUT'],
        security: true,
        headers: {
          request: { set: { 'X-Auth-User': 'none', 'X-From': '{client} {scheme}://{host}' }, add: { 'X-More': 'a' }, remove: ['X-Debug', 'Cookie'] },
          response: { set: { Server: 'edge', 'X-Id': '{request_id}' }, add: { 'Set-Cookie': 'a=1' }, remove: ['X-Powered-By'] },
        },
      },
    ],
    timeouts: { tunnel: '2m' },
  },
};
type Name = keyof typeof UPSTREAMS;
const NAMES: readonly Name[] = ['web', 'small', 'split', 'mirrored', 'queued', 'ruled'];
const POLICIES = new Map(NAMES.map((name) => [name, parseUpstream(name, UPSTREAMS[name]).policy]));
const ROUTES = NAMES.flatMap((name) => POLICIES.get(name)!.routes.map(({ host, path, rules }) => ({ host, path, rules, upstream: name })));

function live(version: TableVersion): TableVersion {
  return { ...version, phase: 'live', weight: 100, reach: { ...version.reach, mirror: false } };
}

function standby(version: TableVersion): TableVersion {
  return { ...version, phase: 'standby', weight: 0, reach: { ...version.reach, mirror: true } };
}

/** The data path of one thread, whole, over sockets in memory and a clock that is moved by hand. */
export class World {
  readonly ticks = new Ticks();
  readonly ctx: Context;
  /** Slots of backends. */
  readonly slots: number[] = [];
  readonly control = new ControlLedger(1, 64);
  /** Sockets of connections to backends since `begin`, in the order of their dials. */
  dialled: MemorySocket[] = [];
  /** Counts what happens one after another: equal numbers, same turn of the event loop. */
  batch = 0;
  private readonly wheel = new Wheel(0, EPOCH);
  private readonly intake = new Intake(() => undefined);
  private readonly upstreamSlots = new Map<Name, number>();
  private readonly versions = new Map<Name, TableVersion[]>();
  private generation = 0;
  private held: Name | null = null;
  /** The upstream with a queue has been held since the last check. */
  private queuedHeld = false;
  private nextTurn: (() => void)[] = [];

  constructor() {
    for (const name of NAMES) {
      const [slot] = this.control.takeSlots(1)!;
      this.upstreamSlots.set(name, slot);
      this.versions.set(name, this.versionsOf(name));
    }
    const table = this.compile();
    const log = new AccessLog('full', () => undefined);
    const ledger = new ThreadLedger(this.control.buffer, 0);
    this.ctx = new Context({
      ledger,
      callers: new Callers(new ClientTable(new ClientTableControl(64, 1, [1, 2]).buffer, 0), ledger),
      timers: this.wheel,
      log,
      dial: (host, _port, reads) => this.dial(host, reads) as never,
      batch: () => this.batch,
      table,
      threads: 1,
      later: (run) => this.ticks.later(run),
      soon: (run) => this.nextTurn.push(run),
      onTable: () => undefined,
    });
    this.control.commit(table.generation);
  }

  private versionsOf(name: Name): TableVersion[] {
    if (name === 'split') return [this.version('v2', 50), this.version('v1', 50)];
    if (name === 'mirrored') return [live(this.version('v1', 100)), standby(this.version('v2', 0))];
    return [this.version('v1', 100)];
  }

  private version(id: string, weight: number): TableVersion {
    const [slot, ...slots] = this.control.takeSlots(3)!;
    this.slots.push(...slots);
    for (const one of slots) {
      this.control.setAvailable(one, true);
      this.control.setWeight(one, 1000);
    }
    const backends = slots.map((one) => ({ slot: one, address: `10.1.0.${one}:80`, host: `10.1.0.${one}`, port: 80, weight: 1 }));
    return { id, slot, phase: 'live', weight, reach: { pins: true, assets: true, preview: true, mirror: true }, backends };
  }

  private compile(): CompiledTable {
    const upstreams = NAMES.map((name): TableUpstream => ({
      name,
      slot: this.upstreamSlots.get(name)!,
      policy: POLICIES.get(name)!,
      held: this.held === name,
      versions: this.versions.get(name)!,
    }));
    return this.intake.compile({ generation: ++this.generation, upstreams, removed: [], routes: ROUTES, edge: config.edge }).table;
  }

  private dial(host: string, reads: Context['reads']): MemorySocket {
    const socket = new MemorySocket(this.ticks, reads, host, true);
    this.dialled.push(socket);
    return socket;
  }

  accept(address: string): MemorySocket {
    const socket = new MemorySocket(this.ticks, this.ctx.reads, address, false);
    new ClientConnection(this.ctx, socket, forwarderOf(endpointsOf(socket as never, false), this.ctx.trusted.has(address)));
    return socket;
  }

  /** A new table; with `held`, that upstream lets nobody pass. */
  hold(held: Name | null): void {
    if (this.held === held) return;
    this.held = held;
    if (held === 'queued') this.queuedHeld = true;
    this.publish();
  }

  /** Copies go where requests went, and requests where copies went. */
  turnRound(): void {
    const [first, second] = this.versions.get('mirrored')!;
    this.versions.set('mirrored', [live(second), standby(first)]);
    this.publish();
  }

  /** Ends the copies that are under way, as a drain does at its deadline. */
  cutCopies(): void {
    for (const { slot } of this.versions.get('mirrored')!) this.ctx.shadows.cut(slot);
  }

  private publish(): void {
    this.ctx.prepare(this.compile());
    this.control.commit(this.generation);
    this.advance(TICK_MS);
  }

  /** The next turn of the event loop. */
  turn(): void {
    for (const run of this.nextTurn.splice(0)) run();
    this.ticks.settle();
  }

  advance(millis: number): void {
    const now = this.wheel.now + millis;
    this.wheel.advance(now, EPOCH + now);
    this.ctx.refresh();
    this.ctx.hold.release();
    this.ctx.log.flush();
    this.ticks.settle();
  }

  /** Past every deadline. What is then still there would be there for ever. @param look called after each leap */
  end(look: () => void): void {
    for (const slot of this.slots) this.control.setAvailable(slot, true);
    this.hold(null);
    look();
    for (let i = 0; i < MOST_LEAPS && !this.quiet; i++) {
      this.turn();
      this.advance(LONGEST_MS);
      look();
    }
    // The next input begins at the same place of the wheel.
    const turn = TICK_MS * 512;
    this.advance(turn - (this.wheel.now % turn));
    this.advance(turn);
  }

  private get quiet(): boolean {
    return this.ctx.clients.size === 0 && this.dialled.every(({ destroyed }) => destroyed);
  }

  /** Who waits for a place has none to take; who has one is alone there. */
  checkQueue(): void {
    const [{ backends }] = this.versions.get('queued')!;
    const slot = this.upstreamSlots.get('queued')!;
    const free = backends.filter((backend) => this.control.available(backend.slot) && this.control.isIdle([backend.slot]));
    const waiting = this.control.waiting(slot);
    // Those who came while it was held, when there was more room, wait on.
    expect(this.queuedHeld || waiting <= QUEUED, () => `${waiting} wait where ${QUEUED} may`);
    expect(
      waiting === 0 || free.length === 0 || this.held === 'queued',
      () => `${waiting} wait while ${free.map(({ address }) => address).join()} has nothing to do`,
    );
  }

  get lonelySlots(): readonly number[] {
    return this.versions.get('queued')![0].backends.map(({ slot }) => slot);
  }

  /** Hosts of the upstream whose backends take one request at a time. */
  get lonely(): readonly string[] {
    return this.versions.get('queued')![0].backends.map(({ host }) => host);
  }

  /** Nothing is left, and the books agree. */
  check(): void {
    const { ctx, control } = this;
    expect(ctx.clients.size === 0, `${ctx.clients.size} clients are left`);
    expect(control.edge(EDGE.connections) === 0, `the ledger counts ${control.edge(EDGE.connections)} clients`);
    expect(
      this.dialled.every(({ destroyed }) => destroyed),
      'a connection to a backend is left',
    );
    for (const slot of this.slots) {
      const counts = control.addCounts(emptyCounts(), slot);
      const ended = counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed;
      expect(counts.started === ended && counts.inFlight === 0, () => `the books of slot ${slot} are open: ${JSON.stringify(counts)}`);
      expect(counts.openSockets === 0 && counts.streams === 0 && counts.tunnels === 0, () => `gauges of slot ${slot}: ${JSON.stringify(counts)}`);
    }
    const versions = [...this.versions.values()].flat().map(({ slot }) => slot);
    for (const slot of versions) {
      const { started, completed, clientAborted, upstreamFailed, killed, inFlight } = control.addCounts(emptyCounts(), slot);
      expect(inFlight === 0 && started === completed + clientAborted + upstreamFailed + killed, `the books of copies of version ${slot} are open`);
    }
    expect(control.isIdle([...this.slots, ...versions]), 'something is in flight');
    for (const [name, slot] of this.upstreamSlots) {
      expect(control.waiting(slot) === 0, `${control.waiting(slot)} wait at the door of ${name}`);
      const { load, live } = ctx.table.upstreams.get(name)!;
      expect(load.active === 0 && load.retrying === 0 && load.mirrored === 0, () => `load of ${name}: ${JSON.stringify(load)}`);
      expect(
        live.every(({ backends }) => backends.every(({ idle }) => idle.length === 0)),
        'an idle connection is left',
      );
    }
    this.dialled = [];
    this.queuedHeld = false;
  }
}
