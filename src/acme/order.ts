import type { KeyObject } from 'node:crypto';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { AcmePolicy, ChallengeType } from '../pool/acme.ts';
import type { AcmeClient, Reply } from './client.ts';
import { keyAuthorization } from './_jws.ts';
import { AcmeProblem, problemOf } from './_problem.ts';
import { newKey, signingRequest, type Pair } from './x509.ts';

/** The server checks names and signs within so long, or the order has failed. */
const READY_MS = 180_000;
const FIRST_POLL_MS = 250;
const MOST_POLL_MS = 10_000;

/** What a challenge asks to be shown, on port 80 or in a TLS handshake. */
export interface Challenge {
  readonly type: ChallengeType;
  readonly domain: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Where challenges are answered. */
export interface ChallengeSite {
  /** Resolves when whoever asks is shown the answer. */
  show(challenge: Challenge): Promise<void>;
  hide(challenge: Challenge): Promise<void>;
}

export interface OrderParts {
  readonly client: AcmeClient;
  readonly key: KeyObject;
  readonly policy: AcmePolicy;
  readonly domains: readonly string[];
  /** The certificate that this is to replace (RFC 9773 §5); null = none. */
  readonly replaces: string | null;
  readonly site: ChallengeSite;
  readonly sleep: (ms: number) => Promise<void>;
  readonly now: () => number;
}

interface Order {
  readonly status: string;
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate?: string;
  readonly error?: unknown;
}

interface Authorization {
  readonly status: string;
  readonly identifier: { readonly value: string };
  readonly challenges: readonly { readonly type: string; readonly url: string; readonly token: string; readonly error?: unknown }[];
}

/**
 * THE LIFE OF AN ORDER (RFC 8555 §7.4): order, prove each name, ask for the signature, take the chain.
 * @throws AcmeProblem that says which step failed, and for which name.
 */
export async function obtain(parts: OrderParts): Promise<Pair> {
  const { client, domains } = parts;
  await client.register();
  const { body: order, location } = await ordered(parts);
  const urls: unknown = order?.authorizations;
  if (location === null || !Array.isArray(urls)) throw new AcmeProblem('unexpected', 'the server’s answer is no order');
  for (const url of urls) await prove(parts, String(url));
  const key = newKey();
  const ready = await settled<Order>(parts, location, 'the order', ['ready', 'valid']);
  if (ready.status === 'ready') await client.call(ready.finalize, { csr: await signingRequest(key, domains) });
  const done = await settled<Order>(parts, location, 'the order', ['valid']);
  if (done.certificate === undefined) throw new AcmeProblem('unexpected', 'the order is valid and has no certificate');
  const pair = { cert: await client.chain(done.certificate), key };
  refuseWrong(pair, domains);
  return pair;
}

async function ordered({ client, domains, replaces }: OrderParts): Promise<Reply<Order>> {
  const { newOrder } = await client.directory();
  const order = { identifiers: domains.map((value) => ({ type: 'dns', value })) };
  if (replaces === null) return client.call<Order>(newOrder, order);
  try {
    return await client.call<Order>(newOrder, { ...order, replaces });
  } catch (error) {
    // That it replaces another only helps with rate limits: a server that does not see it so is asked without.
    if (!(error instanceof AcmeProblem) || !['alreadyReplaced', 'malformed'].includes(error.kind)) throw error;
    return client.call<Order>(newOrder, order);
  }
}

async function prove(parts: OrderParts, url: string): Promise<void> {
  const { client, key, policy, site } = parts;
  const { body: asked } = await client.call<Authorization>(url, null);
  if (asked.status === 'valid') return;
  const domain = asked.identifier.value;
  const chosen = policy.challenges.map((type) => asked.challenges.find((one) => one.type === type)).find((one) => one !== undefined);
  if (chosen === undefined) {
    const offered = asked.challenges.map(({ type }) => type).join(', ') || 'none';
    throw new AcmeProblem('unsupported', `${domain}: the server offers ${offered}, and ${policy.challenges.join(' or ')} is configured`);
  }
  const challenge: Challenge = {
    type: chosen.type as ChallengeType,
    domain,
    token: tokenOf(chosen.token),
    keyAuthorization: keyAuthorization(chosen.token, key),
  };
  await site.show(challenge);
  try {
    await client.call(chosen.url, {});
    await settled<Authorization>(parts, url, domain, ['valid']);
  } finally {
    await site.hide(challenge);
  }
}

/** It becomes part of a path: nothing but base64url is taken (RFC 8555 §8.3). */
function tokenOf(token: unknown): string {
  if (typeof token === 'string' && /^[\w-]{16,256}$/.test(token)) return token;
  throw new AcmeProblem('unexpected', 'the server’s challenge has no token');
}

/** Looks until the status is one of these. */
async function settled<T extends { readonly status: string }>(parts: OrderParts, url: string, about: string, wanted: readonly string[]): Promise<T> {
  const until = parts.now() + READY_MS;
  for (let pause = FIRST_POLL_MS; ; pause = Math.min(MOST_POLL_MS, pause * 2)) {
    const { body, wait } = await parts.client.call<T>(url, null);
    if (wanted.includes(body.status)) return body;
    if (['invalid', 'deactivated', 'expired', 'revoked'].includes(body.status)) throw problemOf(errorIn(body), about, wait);
    if (parts.now() > until) throw new AcmeProblem('timeout', `${about}: still ${body.status} after ${READY_MS / 1000} s`);
    await parts.sleep(Math.min(MOST_POLL_MS, Math.max(pause, wait ?? 0)));
  }
}

function errorIn(body: object): unknown {
  const { error, challenges = [] } = body as Partial<Order & Authorization>;
  return error ?? challenges.find((one) => one.error !== undefined)?.error;
}

/** A mistaken server must not take a listener's good certificate away. */
function refuseWrong({ cert, key }: Pair, domains: readonly string[]): void {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch {
    throw new AcmeProblem('unexpected', 'the server’s certificate cannot be read');
  }
  if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new AcmeProblem('unexpected', 'the server’s certificate is for another key');
  const missing = domains.filter((domain) => leaf.checkHost(domain) === undefined);
  if (missing.length > 0) throw new AcmeProblem('unexpected', `the server’s certificate is not for ${missing.join(', ')}`);
}
