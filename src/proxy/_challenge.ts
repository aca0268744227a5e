import type { RequestHead } from '../http/request-head.ts';

const PREFIX = Buffer.from('/.well-known/acme-challenge/');
/** Tokens are base64url; none is as long as this. */
const MOST_TOKEN = 256;

/**
 * What a challenge of a certificate authority asks for (http-01, RFC 8555 §8.3), when this is a GET or HEAD of exactly its path.
 * @param answers key authorisations by token. @returns null for any other request: it goes its usual way.
 */
export function challengeAnswer(answers: ReadonlyMap<string, string>, head: RequestHead, buf: Buffer): string | null {
  const from = head.targetStart + PREFIX.length;
  if (head.targetEnd <= from || head.targetEnd - from > MOST_TOKEN) return null;
  if (PREFIX.compare(buf, head.targetStart, from) !== 0) return null;
  const method = buf.toString('latin1', head.start, head.methodEnd);
  if (method !== 'GET' && method !== 'HEAD') return null;
  return answers.get(buf.toString('latin1', from, head.targetEnd)) ?? null;
}
