import type { IncomingMessage } from 'node:http';
import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import { invalid } from './_problem.ts';

/** The largest request body that is read, in bytes. */
const MAX_BODY = 1024 * 1024;

/** Reads a whole request body; refuses one that is over 1 MiB as soon as that is known. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY) throw new Refusal(REFUSAL.tooLarge);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Refusal(REFUSAL.tooLarge);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads JSON. An empty body is `{}` where the endpoint needs none. */
export function parseBody(bytes: Buffer, optional: boolean): unknown {
  if (bytes.length === 0) {
    if (optional) return {};
    throw invalid([{ path: 'body', message: 'expected a JSON object, got nothing' }]);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message.slice(0, 200) : 'the bytes are not UTF-8';
    throw invalid([{ path: 'body', message: `expected JSON: ${why}` }]);
  }
}
