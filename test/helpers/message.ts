import type { ByteStream } from './byte_stream.ts';

/** One HTTP/1.1 message as it was on the wire. Written apart from src/http, so that the two cannot share a mistake. */
export interface Message {
  /** Request line or status line. */
  readonly line: string;
  /** Name and value as sent, in order. */
  readonly fields: readonly (readonly [string, string])[];
  /** The head with its last empty line, byte for byte. */
  readonly head: string;
}

export interface WholeMessage extends Message {
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** How the length of the body was told. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
}

export interface Response extends WholeMessage {
  readonly status: number;
  /** Heads of the 1xx responses that came before. */
  readonly interim: readonly Message[];
}

/** The value of the first field of that name (any case), or null. */
export function field(message: Message, name: string): string | null {
  return message.fields.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1] ?? null;
}

/** The values of all fields of that name (any case), in order. */
export function fieldAll(message: Message, name: string): string[] {
  return message.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

function parseFields(lines: string[]): [string, string][] {
  return lines.map((line) => {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`not a header field: ${JSON.stringify(line)}`);
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}

/** Takes one message head off the stream. */
export async function readHead(stream: ByteStream, deadline?: number): Promise<Message> {
  const head = await stream.takeUntil('\r\n\r\n', deadline);
  const [line, ...rest] = head.slice(0, -4).split('\r\n');
  return { line, fields: parseFields(rest), head };
}

/** Takes a chunked body and its trailers off the stream. */
async function readChunked(stream: ByteStream, deadline?: number): Promise<Pick<WholeMessage, 'body' | 'trailers' | 'framing'>> {
  const parts: Buffer[] = [];
  for (;;) {
    const line = await stream.takeUntil('\r\n', deadline);
    const size = Number.parseInt(line, 16);
    if (!/^[0-9a-f]+\s*(;.*)?\r\n$/i.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    if (size === 0) break;
    parts.push(await stream.take(size, deadline));
    const end = (await stream.take(2, deadline)).toString('latin1');
    if (end !== '\r\n') throw new Error(`a chunk of ${size} bytes does not end where it says`);
  }
  const trailers: string[] = [];
  for (;;) {
    const line = await stream.takeUntil('\r\n', deadline);
    if (line === '\r\n') break;
    trailers.push(line.slice(0, -2));
  }
  return { body: Buffer.concat(parts), trailers: parseFields(trailers), framing: 'chunked' };
}

/** Takes the body that this head announces. `untilClose`: what to do when the head tells no length. */
export async function readBody(
  stream: ByteStream,
  head: Message,
  untilClose: boolean,
  deadline?: number,
): Promise<Pick<WholeMessage, 'body' | 'trailers' | 'framing'>> {
  if (/(^|,)\s*chunked\s*$/i.test(field(head, 'transfer-encoding') ?? '')) return readChunked(stream, deadline);
  const length = field(head, 'content-length');
  if (length !== null) return { body: await stream.take(Number(length), deadline), trailers: [], framing: 'length' };
  if (untilClose) return { body: await stream.takeAll(deadline), trailers: [], framing: 'close' };
  return { body: Buffer.alloc(0), trailers: [], framing: 'none' };
}

/** Takes one whole response off the stream, the 1xx ones before it too. `method` is that of the request it answers. */
export async function readResponse(stream: ByteStream, method = 'GET', deadline?: number): Promise<Response> {
  const interim: Message[] = [];
  for (;;) {
    const head = await readHead(stream, deadline);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head.line)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error(`not a status line: ${JSON.stringify(head.line)}`);
    if (status < 200 && status !== 101) {
      interim.push(head);
      continue;
    }
    const bodiless = method === 'HEAD' || status === 101 || status === 204 || status === 304 || (method === 'CONNECT' && status < 300);
    const rest = bodiless ? { body: Buffer.alloc(0), trailers: [], framing: 'none' as const } : await readBody(stream, head, true, deadline);
    return { ...head, ...rest, status, interim };
  }
}
