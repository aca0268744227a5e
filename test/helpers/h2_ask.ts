import { connect } from 'node:http2';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { PATIENCE, within } from './wait.ts';

export interface H2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request over HTTP/2 without TLS, on a connection of its own. */
export async function h2Ask(port: number, headers: OutgoingHttpHeaders, body: Buffer | null = null): Promise<H2Answer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    return await within(
      PATIENCE,
      'the answer of a stream',
      new Promise<H2Answer>((resolve, reject) => {
        session.on('error', reject);
        const stream = session.request({ ':path': '/', ...headers }, { endStream: body === null });
        let seen: IncomingHttpHeaders = {};
        let text = '';
        stream.on('response', (given) => (seen = given));
        stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
        stream.on('error', reject);
        stream.on('end', () => resolve({ status: Number(seen[':status']), headers: seen, body: text }));
        if (body !== null) stream.end(body);
      }),
    );
  } finally {
    session.destroy();
  }
}
