import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Teardown } from './temp.ts';

export const FRAME = { data: 0, headers: 1, rst: 3, settings: 4, push: 5, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const;
const PREFACE = 24;

/** The bytes of a frame (RFC 9113 §4.1). */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field block of literals that are not indexed (RFC 7541 §6.2.2): nothing to decode, nothing is hidden. */
export function fieldBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1');
    const length = bytes.length < 127 ? [bytes.length] : [127, ...rest(bytes.length - 127)];
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function rest(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...rest(value >> 7)];
}

/** A HEADERS frame with all of its block. */
export function headers(stream: number, fields: readonly (readonly [string, string])[], flags = 0): Buffer {
  return frame(FRAME.headers, FLAG.endHeaders | flags, stream, fieldBlock(fields));
}

/** A payload of 32-bit numbers. */
export function words(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, i * 4);
  return bytes;
}

export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One connection to a backend that speaks HTTP/2 frame by frame. */
export interface H2Peer {
  readonly socket: Socket;
  readonly frames: SeenFrame[];
  write(...frames: readonly Buffer[]): void;
}

/** Called for each head of a request; `index` counts them over all connections. */
export type H2Script = (peer: H2Peer, stream: number, index: number) => void;

/** A backend that reads frames and answers with the bytes of a script; SETTINGS are sent and acknowledged for it. */
export class RawH2Backend {
  readonly peers: H2Peer[] = [];
  requests = 0;
  address = '';

  /** @param more frames that each connection begins with, behind its SETTINGS. */
  static async start(t: Teardown, script: H2Script, settings: Buffer = Buffer.alloc(0), more: readonly Buffer[] = []): Promise<RawH2Backend> {
    const backend = new RawH2Backend();
    const server = createServer((socket) => {
      const peer: H2Peer = { socket, frames: [], write: (...frames) => void socket.write(Buffer.concat(frames)) };
      backend.peers.push(peer);
      peer.write(frame(FRAME.settings, 0, 0, settings), ...more);
      let bytes = Buffer.alloc(0);
      let preface = PREFACE;
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (preface > 0 && bytes.length >= preface) {
          bytes = bytes.subarray(preface);
          preface = 0;
        }
        while (preface === 0 && bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
          const size = bytes.readUIntBE(0, 3);
          const seen = { type: bytes[3], flags: bytes[4], stream: bytes.readUInt32BE(5), payload: bytes.subarray(9, 9 + size) };
          bytes = bytes.subarray(9 + size);
          peer.frames.push(seen);
          if (seen.type === FRAME.settings && (seen.flags & FLAG.ack) === 0) peer.write(frame(FRAME.settings, FLAG.ack, 0));
          if (seen.type === FRAME.headers) script(peer, seen.stream, backend.requests++);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
      server.close();
      for (const { socket } of backend.peers) socket.destroy();
    });
    backend.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return backend;
  }

  /** All frames of this type, on all connections. */
  all(type: number): SeenFrame[] {
    return this.peers.flatMap(({ frames }) => frames.filter((each) => each.type === type));
  }
}
