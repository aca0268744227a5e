import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';

/** A message that is posted to somebody who has to know that it is from us. */
export interface SignedMessage {
  /** The same for every attempt: what is sent twice is recognised by it. */
  readonly id: string;
  /** When it is sent, in seconds since 1970: an old message cannot be sent again by somebody else. */
  readonly timestamp: number;
  readonly body: string;
}

/**
 * Signs a message as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body`, in base64, after `v1,`.
 * @param secret `whsec_` and a key in base64, or any other text, whose bytes are the key then
 */
export function signatureOf({ id, timestamp, body }: SignedMessage, secret: string): string {
  const key = secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), 'base64') : Buffer.from(secret, 'utf8');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`, 'utf8').digest('base64')}`;
}

/** The fields that a signed message is sent with. */
export function signedFields(message: SignedMessage, secret: string): Record<string, string> {
  return { 'webhook-id': message.id, 'webhook-timestamp': String(message.timestamp), 'webhook-signature': signatureOf(message, secret) };
}
