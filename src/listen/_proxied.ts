import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import { PROXY_HEADER_MOST, readProxyHeader } from '../http/proxy-protocol.ts';
import type { Endpoints, ProxyHeader } from '../http/proxy-protocol.ts';
import { EDGE } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';

/** Who takes the connection once its header is read. */
interface Next {
  /** @param rest bytes behind the header; good for this tick only. @param shared the header names no client. */
  clientKnown(socket: Socket, ends: Endpoints, trusted: boolean, rest: Buffer, shared: boolean): void;
}

/**
 * A connection of a proxy that must begin with a PROXY protocol header, until that is complete. Broken, missing or late, it
 * ends the connection without an answer: nobody knows whom an answer would be for. It has the time of a request head.
 */
export class ProxiedConnection implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly socket: Socket;
  /** Of the proxy's own connection. */
  private readonly ends: Endpoints;
  private readonly next: Next;
  private readonly deadline: Deadline;
  private readonly since: number;
  /** The header so far. */
  private held: Buffer | null = null;
  private over = false;

  constructor(ctx: Context, socket: Socket, ends: Endpoints, next: Next) {
    this.ctx = ctx;
    this.socket = socket;
    this.ends = ends;
    this.next = next;
    this.since = ctx.timers.now;
    this.deadline = new Deadline(this);
    own(socket, this);
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.clientHead);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    const before = this.held?.length ?? 0;
    const bytes = this.held === null ? chunk : Buffer.concat([this.held, chunk.subarray(0, PROXY_HEADER_MOST)]);
    const header = readProxyHeader(bytes, bytes.length);
    if (header === 'bad') this.refuse();
    else if (header === 'more') this.held = this.held === null ? Buffer.from(chunk) : bytes;
    else this.pass(header, chunk.subarray(header.end - before));
  }

  /** Bytes behind the header are the client's. */
  private pass({ kind, ends }: ProxyHeader, rest: Buffer): void {
    this.leave();
    const { ctx } = this;
    const client = ends ?? this.ends;
    // Of a client that the proxy cannot name nothing is known, so it is not taken for the proxy either.
    this.next.clientKnown(this.socket, client, kind !== 'unknown' && ctx.trusted.has(client.address), rest, ends === null);
  }

  private refuse(): void {
    const { ctx } = this;
    ctx.countRejected(REJECT.proxyProtocol);
    ctx.log.refused(this.ends.address, REJECT.proxyProtocol.code);
    this.close();
  }

  private leave(): void {
    if (this.over) return;
    this.over = true;
    this.held = null;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.ledger.count(EDGE.connections, -1);
  }

  closeIdle(at: number): void {
    if (this.held === null && this.since <= at) this.close();
  }

  close(): void {
    if (this.over) return;
    this.leave();
    this.ctx.ledger.count(EDGE.accepted, 1);
    this.socket.destroy();
  }

  expired(): void {
    this.refuse();
  }

  /** Who only looks whether the port is open has said nothing wrong. */
  onEnd(): void {
    if (this.over) return;
    if (this.held === null) this.close();
    else this.refuse();
  }

  onDrain(): void {
    // Nothing is written here.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.close();
  }
}
