import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import { judgeRequest, valuesOf } from '../fuzz/judge.ts';
import type { Message } from '../fuzz/judge.ts';
import type { Teardown } from '../helpers/temp.ts';

/** A request that reached the backend. */
export interface Witnessed {
  /** In the `X-Seen` field of its answer. */
  readonly id: string;
  readonly message: Message;
  /** Still open, as far as the backend knows. */
  readonly isOpen: () => boolean;
}

/** What a backend answers, byte for byte. */
export interface Scripted {
  readonly bytes: string;
  readonly open: boolean;
  readonly late: string;
}

const LATE_MS = 40;
const OWN = ['via', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-host', 'forwarded', 'x-request-id', 'traceparent'];

/**
 * A backend that judges every byte it gets: all of it must be requests in the one form that the proxy writes. It knows
 * from X-Forwarded-For, which no client can write, whose request it is.
 */
export class Witness {
  /** What was wrong with what came. */
  readonly faults: string[] = [];
  /** Answers by target; all other requests get their id. */
  readonly scripts = new Map<string, Scripted>();
  /** Targets whose late bytes have been written, and whether their connection is still open. */
  readonly lateSaid = new Map<string, () => boolean>();
  readonly #seen = new Map<string, Witnessed[]>();
  #count = 0;
  #port = 0;

  static async start(t: Teardown): Promise<Witness> {
    const witness = new Witness();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      witness.#listen(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    witness.#port = (server.address() as AddressInfo).port;
    t.teardown(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return witness;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Requests of this client, in the order in which they came. */
  seenOf(client: string): readonly Witnessed[] {
    return this.#seen.get(client) ?? [];
  }

  #listen(socket: Socket): void {
    let text = '';
    let early = false;
    socket.setNoDelay(true).on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (;;) {
        const found = judgeRequest(text, 0, true);
        if (found === null) return;
        if (typeof found === 'string' || found.fault !== null) {
          this.faults.push(`${typeof found === 'string' ? found : found.fault}: ${JSON.stringify(text.slice(0, 300))}`);
          socket.destroy();
          return;
        }
        // Some backends answer before they have read the body.
        const hasty = found.start[1].includes('/__early');
        if (hasty && !early) this.#answer(found, socket);
        early = hasty && !found.complete;
        if (!found.complete) return;
        text = text.slice(found.end);
        if (!hasty) this.#answer(found, socket);
      }
    });
    socket.on('close', () => {
      if (text !== '' && !text.includes('\r\n\r\n')) this.faults.push(`half a head: ${JSON.stringify(text.slice(0, 300))}`);
    });
  }

  #answer(message: Message, socket: Socket): void {
    // It comes too late: the proxy tries it again.
    if (socket.writableEnded) return;
    for (const name of OWN) {
      const count = valuesOf(message.fields, name).length;
      if (count !== 1) this.faults.push(`${count} ${name} fields in ${message.start.join(' ')}`);
    }
    const [client] = valuesOf(message.fields, 'x-forwarded-for');
    const id = String(this.#count++);
    this.#seen.set(client, [...this.seenOf(client), { id, message, isOpen: () => !socket.destroyed }]);
    const scripted = this.scripts.get(message.start[1]);
    if (scripted === undefined) {
      socket.write(`HTTP/1.1 200 OK\r\nX-Seen: ${id}\r\nContent-Length: ${id.length}\r\n\r\n${message.start[0] === 'HEAD' ? '' : id}`);
      return;
    }
    socket.write(Buffer.from(scripted.bytes, 'latin1'));
    const more = (): void => {
      if (socket.destroyed) return;
      socket.write(Buffer.from(scripted.late, 'latin1'));
      if (scripted.late !== '') this.lateSaid.set(message.start[1], () => !socket.destroyed);
      if (!scripted.open) socket.end();
    };
    if (scripted.late === '') more();
    else setTimeout(more, LATE_MS);
  }
}
