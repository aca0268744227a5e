import { RawClient } from './raw_client.ts';

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export type Field = readonly [string, string];

/** Head of a plain request. */
export function get(path = '/', ...more: readonly Field[]): Field[] {
  return [[':method', 'GET'], [':scheme', 'http'], [':path', path], [':authority', 'test.example'], ...more];
}

export function post(path = '/', ...more: readonly Field[]): Field[] {
  return [[':method', 'POST'], ...get(path).slice(1), ...more];
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A frame (RFC 9113 §4.1); `length` may be told, to lie. */
export function frame(type: number, flags: number, stream: number, payload: Buffer | string = '', length?: number): Buffer {
  const body = Buffer.from(payload as string, 'latin1');
  const head = Buffer.alloc(9);
  head.writeUIntBE(length ?? body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Fields as literals that are not indexed, without Huffman (RFC 7541 §6.2.2). */
export function hpack(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const size: number[] = [];
  if (bytes.length < 127) size.push(bytes.length);
  else {
    size.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) size.push((rest & 127) | 128);
    size.push(rest);
  }
  return Buffer.concat([Buffer.from(size), bytes]);
}

export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  return frame(FRAME.settings, 0, 0, Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]))));
}

/** Statuses that HPACK's static table has by themselves (RFC 7541, appendix A). */
const STATUSES: ReadonlyMap<number, number> = new Map([200, 204, 206, 304, 400, 404, 500].map((status, i) => [0x88 + i, status]));

/** Status at the beginning of a header block, of a peer that may not use a dynamic table. */
export function statusOf(block: Buffer): number {
  let at = 0;
  while ((block[at] & 0xe0) === 0x20) at++;
  const known = STATUSES.get(block[at]);
  if (known !== undefined) return known;
  const size = block[at + 1] & 127;
  const text = block.subarray(at + 2, at + 2 + size);
  return Number((block[at + 1] & 128) === 0 ? text.toString('latin1') : digits(text));
}

/** Huffman-coded digits (RFC 7541, appendix B): 0 to 2 have five bits, the others six. */
function digits(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let text = '';
  for (let at = 0; text.length < 3;) {
    const short = Number.parseInt(bits.slice(at, at + 5), 2);
    const long = Number.parseInt(bits.slice(at, at + 6), 2);
    text += short < 3 ? short : long - 0x19 + 3;
    at += short < 3 ? 5 : 6;
  }
  return text;
}

/** An HTTP/2 client that says exactly the frames it is told to. */
export class H2Raw {
  readonly bytes: RawClient;
  /** All frames that were taken. */
  readonly frames: Frame[] = [];
  #acks: boolean;

  private constructor(bytes: RawClient, acks: boolean) {
    this.bytes = bytes;
    this.#acks = acks;
  }

  /** Connects, and says the preface with these settings (and that it wants no dynamic table) unless told not to. */
  static async open(port: number, options: { begin?: Buffer; acks?: boolean; localAddress?: string } = {}): Promise<H2Raw> {
    const client = new H2Raw(await RawClient.connect(port, options), options.acks ?? true);
    client.send(options.begin ?? Buffer.concat([Buffer.from(PREFACE), settings([1, 0])]));
    return client;
  }

  send(...frames: readonly Buffer[]): void {
    this.bytes.write(Buffer.concat(frames));
  }

  /** A whole header block in one frame. */
  headers(stream: number, fields: readonly Field[], end = true): void {
    this.send(frame(FRAME.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), stream, hpack(fields)));
  }

  data(stream: number, bytes: Buffer | string, end = false): void {
    this.send(frame(FRAME.data, end ? FLAG.endStream : 0, stream, bytes));
  }

  /** The next frame; settings are acknowledged on the way. */
  async next(deadline?: number): Promise<Frame> {
    const head = await this.bytes.take(9, deadline);
    const payload = await this.bytes.take(head.readUIntBE(0, 3), deadline);
    const found = { type: head[3], flags: head[4], stream: head.readUInt32BE(5) & 0x7fffffff, payload };
    this.frames.push(found);
    if (this.#acks && found.type === FRAME.settings && (found.flags & FLAG.ack) === 0) this.send(frame(FRAME.settings, FLAG.ack, 0));
    return found;
  }

  /** Takes frames up to the first that `is` what is looked for. */
  async until(is: (frame: Frame) => boolean, deadline?: number): Promise<Frame> {
    for (;;) {
      const found = await this.next(deadline);
      if (is(found)) return found;
    }
  }

  /** The status that a stream is answered with, 1xx left out. */
  async status(stream: number, deadline?: number): Promise<number> {
    const { payload } = await this.until((one) => one.type === FRAME.headers && one.stream === stream && statusOf(one.payload) >= 200, deadline);
    return statusOf(payload);
  }

  /** Code of the RST_STREAM of a stream. */
  async reset(stream: number, deadline?: number): Promise<number> {
    return (await this.until((one) => one.type === FRAME.reset && one.stream === stream, deadline)).payload.readUInt32BE(0);
  }

  /** Code of the GOAWAY. */
  async goaway(deadline?: number): Promise<number> {
    return (await this.until((one) => one.type === FRAME.goaway, deadline)).payload.readUInt32BE(4);
  }

  /** Up to the end of a stream: whether it ended well, or with which reset. */
  async ending(stream: number, deadline?: number): Promise<'end' | number> {
    const last = await this.until(
      (one) => one.stream === stream && (one.type === FRAME.reset || (one.type < 2 && (one.flags & FLAG.endStream) !== 0)),
      deadline,
    );
    return last.type === FRAME.reset ? last.payload.readUInt32BE(0) : 'end';
  }

  [Symbol.dispose](): void {
    this.bytes.destroy();
  }
}
