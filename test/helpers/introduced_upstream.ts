import { readBody, readHead } from './message.ts';
import type { Message } from './message.ts';
import { RawUpstream } from './raw_upstream.ts';
import type { UpstreamConnection } from './raw_upstream.ts';
import type { Teardown } from './temp.ts';

/** A request, and the PROXY protocol header that its connection began with: version 1 as text, version 2 in hex. */
export interface IntroducedRequest extends Message {
  readonly header: string;
  readonly connection: UpstreamConnection;
}

export type IntroducedScript = (request: IntroducedRequest) => unknown;

/** Takes the header that a connection has to begin with. */
export async function takeProxyHeader(connection: UpstreamConnection, deadline?: number): Promise<string> {
  const first = await connection.take(1, deadline);
  if (first.toString('latin1') === 'P') return `P${await connection.takeUntil('\r\n')}`;
  const fixed = Buffer.concat([first, await connection.take(15)]);
  if (fixed.subarray(0, 12).toString('hex') !== '0d0a0d0a000d0a515549540a') throw new Error(`no PROXY header: ${fixed.toString('latin1')}`);
  return Buffer.concat([fixed, await connection.take(fixed.readUInt16BE(14))]).toString('hex');
}

/** A backend whose every connection begins with a PROXY protocol header; anything else is a failure that ends the test. */
export class IntroducedUpstream {
  readonly requests: IntroducedRequest[] = [];
  /** Headers of all connections, in their order. */
  readonly headers: string[] = [];
  script: IntroducedScript = ({ connection }) => connection.respond(200, 'ok');
  raw!: RawUpstream;

  static async start(t: Teardown): Promise<IntroducedUpstream> {
    const upstream = new IntroducedUpstream();
    upstream.raw = await RawUpstream.start(t, undefined, { onConnection: (connection) => upstream.#serve(connection) });
    return upstream;
  }

  async #serve(connection: UpstreamConnection): Promise<void> {
    connection.socket.on('end', () => connection.end());
    const header = await takeProxyHeader(connection, 60_000);
    this.headers.push(header);
    for (;;) {
      await connection.until(() => connection.pending.length > 0 || connection.ending !== 'open', 'a request', 600_000, true);
      if (connection.pending.length === 0) return;
      const head = await readHead(connection);
      await readBody(connection, head, false);
      const request = { ...head, header, connection };
      this.requests.push(request);
      if ((await this.script(request)) === 'taken') return;
    }
  }
}
