import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import type { Scope } from './_endpoint.ts';

type TokenScope = 'read' | 'operate' | 'report';

/** A secret that lets its bearer in. `operate` includes the others; `report` lets a worker say how it is, and nothing else. */
export interface AdminToken {
  readonly name: string;
  readonly token: string;
  readonly scope: TokenScope;
}

const MAX_ACTOR = 64;

/** Whether a host name or address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^::ffff:/i, '');
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Host part of a Host field, lower case, without port and brackets. */
function hostName(field: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(field);
  return (bracketed?.[1] ?? field.replace(/:\d*$/, '')).toLowerCase();
}

/** Decides who may call what. Keeps digests of the tokens only. */
export class Guard {
  private readonly tokens: readonly { name: string; scope: TokenScope; hash: Buffer }[];
  private readonly hosts: ReadonlySet<string>;

  /** @param hosts names under which the admin API may be called, beside loopback and the address a connection came in on. */
  constructor(tokens: readonly AdminToken[], hosts: readonly string[]) {
    this.tokens = tokens.map(({ name, scope, token }) => ({ name, scope, hash: digest(token) }));
    this.hosts = new Set(hosts.map((host) => host.toLowerCase()));
  }

  /**
   * Refuses what a foreign web page makes a browser send: a Host that was rebound to this address, or an Origin or
   * fetch site other than this very server. A request without Host (HTTP/1.0) does not come from a browser.
   */
  checkOrigin(request: IncomingMessage): void {
    const { host, origin } = request.headers;
    if (host !== undefined && !this.knowsHost(hostName(host), request)) {
      throw new Refusal(REFUSAL.foreignOrigin, `The Host "${host.slice(0, 100)}" is not one of this admin API.`);
    }
    const own = host === undefined ? [] : [`http://${host}`, `https://${host}`];
    if (origin !== undefined && !own.includes(origin)) {
      throw new Refusal(REFUSAL.foreignOrigin, `The Origin "${origin.slice(0, 100)}" is not this admin API.`);
    }
    const site = request.headers['sec-fetch-site'];
    if (site === 'cross-site' || site === 'same-site') throw new Refusal(REFUSAL.foreignOrigin, 'The request was made by a page of another site.');
  }

  private knowsHost(name: string, request: IncomingMessage): boolean {
    const local = request.socket.localAddress?.replace(/^::ffff:/i, '').toLowerCase();
    return isLoopback(name) || name === local || this.hosts.has(name);
  }

  /**
   * Lets a request with this scope through or refuses it.
   * @returns who calls: the name of the token, else `admin@<remote address>`; with `/<actor>` when the request names one.
   */
  authorize(request: IncomingMessage, scope: Scope): string {
    const actor = request.headers['x-switchyard-actor'];
    const suffix = typeof actor === 'string' && actor !== '' ? `/${actor.replace(/[^\x21-\x7e]+/g, '_').slice(0, MAX_ACTOR)}` : '';
    const remote = `admin@${request.socket.remoteAddress?.replace(/^::ffff:/i, '') ?? 'unknown'}`;
    if (this.tokens.length === 0 || scope === 'open') return remote + suffix;
    const token = this.tokenOf(request);
    if (token === null) throw new Refusal(REFUSAL.unauthorized, 'A valid token is needed: send "Authorization: Bearer <token>".');
    if (token.scope !== 'operate' && token.scope !== scope) {
      throw new Refusal(REFUSAL.forbidden, `The token "${token.name}" may only ${token.scope}; this needs the scope ${scope}.`);
    }
    return token.name + suffix;
  }

  private tokenOf(request: IncomingMessage): { name: string; scope: TokenScope } | null {
    const match = /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '');
    if (match === null) return null;
    const given = digest(match[1]);
    let found: { name: string; scope: TokenScope } | null = null;
    // Every token is compared, so that the time taken does not tell which one was nearly right.
    for (const token of this.tokens) if (timingSafeEqual(token.hash, given)) found ??= token;
    return found;
  }
}
