import type { Fault } from '../errors/catalogue.ts';
import { REJECT_LIST, FAILURE_LIST } from '../errors/catalogue.ts';
import { ReservedFields } from '../http/client-identity.ts';
import { RequestHead } from '../http/request-head.ts';
import { ResponseHead } from '../http/response-head.ts';
import { HeadWriter } from '../http/writer.ts';
import { EDGE } from '../ledger/layout.ts';
import type { ThreadLedger } from '../ledger/thread.ts';
import type { AccessLog } from './access-log.ts';
import type { Callers } from './callers.ts';
import type { ClientConnection } from './client.ts';
import type { Timers } from './deadline.ts';
import { HoldQueues } from './hold.ts';
import { Ids } from './ids.ts';
import { Shadows } from './mirror.ts';
import { Roster } from './roster.ts';
import { sharedRead, type Dial } from './sockets.ts';
import type { CompiledTable } from './targets.ts';
import { TrustedProxies } from './trust.ts';
import { UnreadBodies } from './unread.ts';

const REJECT_INDEX = new Map<Fault, number>(REJECT_LIST.map((fault, index) => [fault, index]));
const FAILURE_INDEX = new Map<Fault, number>(FAILURE_LIST.map((fault, index) => [fault, index]));

const SOON_MS = 2;

/** Never the same: for sockets that are not fed by the event loop. */
function noBatch(): number {
  return Number.NaN;
}

/** A connection on its way to become a client's. */
export interface Arriving {
  /** Ends it if nothing has come yet, and it has waited since that time (on the wheel's clock). */
  closeIdle(at: number): void;
  close(): void;
}

/** What all requests of a data thread share. */
export class Context {
  readonly ledger: ThreadLedger;
  readonly callers: Callers;
  readonly timers: Timers;
  readonly log: AccessLog;
  /** How backends are connected to. */
  readonly dial: Dial;
  /** Runs something once the sockets have had their turn. */
  readonly later: (run: () => void) => void;
  /** Runs something in some milliseconds. */
  readonly soon: (run: () => void) => void;
  /** Names the batch of socket events that is worked off now: equal numbers, same batch. */
  readonly batch: () => number;
  readonly ids = new Ids();
  readonly hold: HoldQueues;
  readonly shadows = new Shadows(this);
  readonly unread: UnreadBodies;
  readonly clients = new Roster<ClientConnection>();
  /** Connections whose client is not known yet. */
  readonly arriving = new Set<Arriving>();
  /** Fields by which the proxy tells who a client is. */
  readonly reserved = new ReservedFields();
  /** Challenges of certificate authorities that wait for an answer (http-01): key authorisations by token. null = none. */
  challenges: ReadonlyMap<string, string> | null = null;
  /** TLS handshakes under way. */
  handshakes = 0;
  /** Streams of HTTP/2 connections among `clients`. */
  private streams = 0;
  /** Scratch for a head that is complete in the bytes at hand; used within one tick only. */
  readonly requestWriter = new HeadWriter();
  readonly responseWriter = new HeadWriter();
  /** How all sockets read. */
  readonly reads = sharedRead();
  responseHead = new ResponseHead();
  requestHead: RequestHead;
  trusted: TrustedProxies;
  /** The table that requests begin on. */
  table: CompiledTable;
  /** Every answer from now on closes its connection. */
  closing = false;
  private pending: CompiledTable | null = null;
  private readonly onTable: (table: CompiledTable, before: CompiledTable) => void;
  private dateLine = Buffer.alloc(0);
  private dateSecond = -1;

  constructor(parts: {
    ledger: ThreadLedger;
    callers: Callers;
    timers: Timers;
    log: AccessLog;
    dial: Dial;
    later?: (run: () => void) => void;
    soon?: (run: () => void) => void;
    batch?: () => number;
    table: CompiledTable;
    threads: number;
    onTable: (table: CompiledTable, before: CompiledTable) => void;
  }) {
    this.ledger = parts.ledger;
    this.callers = parts.callers;
    this.timers = parts.timers;
    this.log = parts.log;
    this.dial = parts.dial;
    this.later = parts.later ?? setImmediate;
    this.soon = parts.soon ?? ((run) => setTimeout(run, SOON_MS));
    this.batch = parts.batch ?? noBatch;
    this.table = parts.table;
    this.onTable = parts.onTable;
    this.hold = new HoldQueues(this, parts.threads);
    this.unread = new UnreadBodies(parts.ledger, () => this.table.edge.limits.unreadTotal / parts.threads);
    this.requestHead = new RequestHead(parts.table.edge.limits);
    this.trusted = new TrustedProxies(parts.table.edge.trustedProxies);
  }

  /** Keeps a compiled table beside the current one until its generation is committed. */
  prepare(table: CompiledTable): void {
    this.refresh();
    this.pending = table;
  }

  /** Moves to the committed table, if there is a newer one. Invariant 1: called before each pick, in the same tick. */
  refresh(): void {
    if (this.pending === null || this.ledger.generation() < this.pending.generation) return;
    const before = this.table;
    this.table = this.pending;
    this.pending = null;
    if (before.edge !== this.table.edge) {
      this.requestHead = new RequestHead(this.table.edge.limits);
      this.trusted = new TrustedProxies(this.table.edge.trustedProxies);
      this.log.mode = this.table.edge.accessLog;
    }
    this.ledger.ack(this.table.generation);
    this.onTable(this.table, before);
  }

  entered(client: ClientConnection): void {
    this.clients.add(client);
    if (client.alone) for (const count of [EDGE.connections, EDGE.accepted]) this.ledger.count(count, 1);
    else this.streams++;
  }

  left(client: ClientConnection): void {
    this.clients.delete(client);
    if (client.alone) this.ledger.count(EDGE.connections, -1);
    else this.streams--;
  }

  /** Client connections, with those on their way. */
  get connections(): number {
    return this.clients.size - this.streams + this.arriving.size;
  }

  /** A current `Date: …` line with CRLF. */
  date(): Buffer {
    const second = Math.floor(this.timers.epoch / 1000);
    if (second !== this.dateSecond) {
      this.dateSecond = second;
      this.dateLine = Buffer.from(`Date: ${new Date(second * 1000).toUTCString()}\r\n`, 'latin1');
    }
    return this.dateLine;
  }

  countRejected(fault: Fault): void {
    const index = REJECT_INDEX.get(fault);
    if (index !== undefined) this.ledger.rejected(index);
  }

  countFailed(slot: number, fault: Fault, row = slot): void {
    const index = FAILURE_INDEX.get(fault);
    if (index !== undefined) this.ledger.failed(slot, index, row);
  }
}
