import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import type { Teardown } from '../helpers/temp.ts';

/** One whole request as it came over the wire. */
export interface Recorded {
  /** Every byte, framing of the body too. */
  readonly raw: string;
  readonly line: string;
  /** Field lines, without CRLF. */
  readonly fields: readonly string[];
  /** Decoded. */
  readonly body: string;
  readonly connection: UpstreamConnection;
}

/** Answers one request. Called when its head is there; `whole` resolves when its body is too. */
export type Reply = (head: { readonly line: string; readonly raw: string }, connection: UpstreamConnection, whole: Promise<Recorded>) => unknown;

/** Answers with the request line, so that an answer tells whose it is. */
export const echo: Reply = async (_, connection, whole) => {
  const { line } = await whole;
  const body = line.startsWith('HEAD ') ? '' : line;
  connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\n\r\n${body}`);
};

/**
 * A backend with a reading of HTTP of its own, and a simple one: Content-Length, or chunked, or no body. It records what
 * it takes for requests; what is no request to it stays in the connection's `pending`.
 */
export class Recorder {
  readonly requests: Recorded[] = [];
  reply: Reply = echo;
  /** Requests seen, whole or not. */
  heads = 0;
  #upstream: RawUpstream | null = null;

  static async start(t: Teardown): Promise<Recorder> {
    const recorder = new Recorder();
    recorder.#upstream = await RawUpstream.start(t, undefined, { onConnection: (connection) => recorder.#serve(connection) });
    return recorder;
  }

  get address(): string {
    return this.#upstream!.address;
  }

  get connections(): readonly UpstreamConnection[] {
    return this.#upstream!.connections;
  }

  /** Bytes on open connections that are no whole request, from connection `from` on. */
  rest(from = 0): string {
    return this.connections
      .slice(from)
      .filter(({ ending }) => ending === 'open')
      .map(({ pending }) => pending.toString('latin1'))
      .join('|');
  }

  async #serve(connection: UpstreamConnection): Promise<void> {
    for (;;) {
      const raw = await connection.takeUntil('\r\n\r\n', 600_000).catch(() => null);
      if (raw === null) break;
      this.heads++;
      const [line, ...fields] = raw.slice(0, -4).split('\r\n');
      const whole = this.#whole(connection, { raw, line, fields });
      whole.catch(() => {});
      try {
        await this.reply({ line, raw }, connection, whole);
        await whole;
      } catch {
        break;
      }
    }
    connection.end();
  }

  async #whole(connection: UpstreamConnection, head: { raw: string; line: string; fields: string[] }): Promise<Recorded> {
    let { raw } = head;
    let body = '';
    const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(raw);
    if (/\r\ntransfer-encoding:[ \t]*chunked/i.test(raw)) {
      for (let size = -1; size !== 0;) {
        const line = await connection.takeUntil('\r\n', 60_000);
        size = Number.parseInt(line, 16);
        const data = size === 0 ? '' : (await connection.take(size + 2, 60_000)).toString('latin1');
        raw += line + data;
        body += data.slice(0, -2);
      }
      for (let line = ''; line !== '\r\n'; raw += line) line = await connection.takeUntil('\r\n', 60_000);
    } else if (length !== null) {
      body = (await connection.take(Number(length[1]), 60_000)).toString('latin1');
      raw += body;
    }
    const request: Recorded = { ...head, raw, body, connection };
    this.requests.push(request);
    return request;
  }
}

const OWN = /^(?:via|x-forwarded-(?:for|proto|port|host)|forwarded|x-request-id|traceparent): /i;
const OWN_COUNT = 8;

/** A request without the forwarding fields that the proxy adds, each of which has to be there once. */
export function withoutOwn({ raw }: { readonly raw: string }): string {
  const end = raw.indexOf('\r\n\r\n');
  const lines = raw.slice(0, end).split('\r\n');
  const own = lines.filter((line) => OWN.test(line)).map((line) => line.slice(0, line.indexOf(':')).toLowerCase());
  if (own.length !== OWN_COUNT || new Set(own).size !== OWN_COUNT) throw new Error(`not each forwarding field once: ${own.join()}`);
  return lines.filter((line) => !OWN.test(line)).join('\r\n') + raw.slice(end);
}
