import { createHash, createHmac, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** A signed message in the flattened JSON form (RFC 7515 §7.2.2). */
interface Signed {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

export function base64url(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url');
}

/** The public half of an account key (EC P-256), its members in the order of RFC 7638. */
export function publicJwk(key: KeyObject): Record<string, string> {
  const { crv, kty, x, y } = createPublicKey(key).export({ format: 'jwk' }) as Record<string, string>;
  return { crv, kty, x, y };
}

/** What proves to the authority that the answer to a challenge is of this account (RFC 8555 §8.1). */
export function keyAuthorization(token: string, key: KeyObject): string {
  const thumbprint = createHash('sha256')
    .update(JSON.stringify(publicJwk(key)))
    .digest('base64url');
  return `${token}.${thumbprint}`;
}

/** @param payload null = POST-as-GET (RFC 8555 §6.3). */
export function signed(header: Record<string, unknown>, payload: object | null, key: KeyObject): Signed {
  const head = base64url(JSON.stringify({ alg: 'ES256', ...header }));
  const body = payload === null ? '' : base64url(JSON.stringify(payload));
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' });
  return { protected: head, payload: body, signature: base64url(signature) };
}

/** Binds an account to one that the authority knows already (RFC 8555 §7.3.4). */
export function bound(url: string, { kid, hmacKey }: { kid: string; hmacKey: string }, key: KeyObject): Signed {
  const head = base64url(JSON.stringify({ alg: 'HS256', kid, url }));
  const body = base64url(JSON.stringify(publicJwk(key)));
  const signature = createHmac('sha256', Buffer.from(hmacKey, 'base64url')).update(`${head}.${body}`).digest('base64url');
  return { protected: head, payload: body, signature };
}
