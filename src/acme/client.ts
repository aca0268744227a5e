import type { KeyObject } from 'node:crypto';
import { Agent, request } from 'undici';
import type { AcmePolicy } from '../pool/acme.ts';
import { bound, publicJwk, signed } from './_jws.ts';
import { AcmeProblem, problemOf } from './_problem.ts';
import { retryAfter } from './schedule.ts';

const ANSWER_MS = 30_000;
const MOST_BYTES = 1 << 20;
/** A nonce may be too old by the time it is used (RFC 8555 §6.5); a server that never takes one is not waited for. */
const MOST_NONCES = 10;

export interface Reply<T> {
  readonly body: T;
  /** Of what was made. */
  readonly location: string | null;
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | null;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly field: (name: string) => string | null;
}

interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly renewalInfo?: string;
}

/** A conversation with one ACME server under one account key. Each call has a deadline; an answer has a greatest size. */
export class AcmeClient {
  private readonly policy: AcmePolicy;
  private readonly key: KeyObject;
  private readonly agent: Agent;
  private readonly stop: AbortSignal;
  private readonly now: () => number;
  private known: Directory | null = null;
  private nonce: string | null = null;
  private account: string | null = null;

  /** @param stop ends what is under way. @param now epoch milliseconds. */
  constructor(policy: AcmePolicy, key: KeyObject, stop: AbortSignal, now: () => number) {
    this.policy = policy;
    this.key = key;
    this.stop = stop;
    this.now = now;
    this.agent = new Agent({ connect: { timeout: ANSWER_MS, ca: policy.ca ?? undefined }, connections: 2 });
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }

  /** @throws AcmeProblem when the server cannot be reached or offers no ACME. */
  async directory(): Promise<Directory> {
    if (this.known !== null) return this.known;
    const { status, text } = await this.send('GET', this.policy.directory);
    const found = parsed(text) as Partial<Record<keyof Directory, unknown>> | null;
    const isOne = status === 200 && [found?.newNonce, found?.newAccount, found?.newOrder].every((url) => typeof url === 'string');
    if (!isOne) throw new AcmeProblem('unexpected', `${this.policy.directory} is no ACME directory (status ${status})`);
    this.known = found as Directory;
    return this.known;
  }

  /** Makes the account, or finds the one that this key has already (RFC 8555 §7.3). */
  async register(): Promise<void> {
    if (this.account !== null) return;
    const { newAccount } = await this.directory();
    const { email, eab } = this.policy;
    const payload = {
      termsOfServiceAgreed: true,
      ...(email === null ? {} : { contact: [`mailto:${email}`] }),
      ...(eab === null ? {} : { externalAccountBinding: bound(newAccount, eab, this.key) }),
    };
    const { location } = await this.call(newAccount, payload);
    if (location === null) throw new AcmeProblem('unexpected', `${newAccount} names no account`);
    this.account = location;
  }

  /**
   * A signed request. @param payload null = only look (POST-as-GET).
   * @throws AcmeProblem as the server says, or when it does not answer in time.
   */
  async call<T>(url: string, payload: object | null): Promise<Reply<T>> {
    const { text, field } = await this.post(url, payload);
    return { body: parsed(text) as T, location: field('location'), wait: retryAfter(field('retry-after'), this.now()) };
  }

  /** The certificate chain, as PEM. */
  async chain(url: string): Promise<string> {
    return (await this.post(url, null)).text;
  }

  /** When the authority would like the certificate with this id (RFC 9773 §4.1) to be replaced; null = it does not say. */
  async renewalInfo(id: string): Promise<Reply<{ suggestedWindow?: { start?: string; end?: string } }> | null> {
    const { renewalInfo } = await this.directory();
    if (typeof renewalInfo !== 'string') return null;
    const { status, text, field } = await this.send('GET', `${renewalInfo}/${id}`);
    const wait = retryAfter(field('retry-after'), this.now());
    if (status !== 200) throw problemOf(parsed(text), `renewalInfo (status ${status})`, wait);
    return { body: parsed(text) ?? {}, location: null, wait };
  }

  private async post(url: string, payload: object | null): Promise<Answer> {
    for (let tried = 1; ; tried++) {
      const nonce = this.nonce ?? (await this.fresh());
      this.nonce = null;
      const who = this.account === null ? { jwk: publicJwk(this.key) } : { kid: this.account };
      const answer = await this.send('POST', url, JSON.stringify(signed({ ...who, nonce, url }, payload, this.key)));
      this.nonce = answer.field('replay-nonce');
      if (answer.status < 400) return answer;
      const problem = problemOf(parsed(answer.text), `${new URL(url).pathname} (status ${answer.status})`, retryAfter(answer.field('retry-after'), this.now()));
      if (problem.kind !== 'badNonce' || tried === MOST_NONCES) throw problem;
    }
  }

  private async fresh(): Promise<string> {
    const { newNonce } = await this.directory();
    const nonce = (await this.send('HEAD', newNonce)).field('replay-nonce');
    if (nonce === null) throw new AcmeProblem('unexpected', `${newNonce} gives no nonce`);
    return nonce;
  }

  private async send(method: 'GET' | 'HEAD' | 'POST', url: string, body?: string): Promise<Answer> {
    const headers = { 'user-agent': 'switchyard', 'accept-language': 'en', ...(body === undefined ? {} : { 'content-type': 'application/jose+json' }) };
    try {
      const signal = AbortSignal.any([this.stop, AbortSignal.timeout(ANSWER_MS)]);
      const answer = await request(url, { method, headers, body, dispatcher: this.agent, signal });
      let text = '';
      for await (const part of answer.body.setEncoding('utf8')) {
        text += part as string;
        if (text.length > MOST_BYTES) throw new AcmeProblem('unexpected', `an answer of more than ${MOST_BYTES} bytes`);
      }
      const field = (name: string): string | null => [answer.headers[name] ?? []].flat().at(0) ?? null;
      return { status: answer.statusCode, text, field };
    } catch (error) {
      if (error instanceof AcmeProblem) throw error;
      throw new AcmeProblem('unreachable', `${new URL(url).host} cannot be reached: ${reasonOf(error)}`);
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return error.message === '' ? (code ?? error.name) : error.message;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
