import type { Forwarder } from '../http/forward-request.ts';
import { proxyHeader } from '../http/proxy-protocol.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import type { ProxyProtocol } from '../pool/policy.ts';
import type { BackendTarget, UpstreamTarget } from './targets.ts';
import type { UpstreamConnection } from './upstream.ts';

/** Idle connections kept for one client connection; each to another backend. */
const MOST_IDLE = 4;

/** A client connection with what its connections to backends begin with. */
export interface Prefaced {
  readonly forwarder: Forwarder;
  /** One for each version that was needed. */
  prefaces: readonly Preface[];
}

export const NO_PREFACES: readonly Preface[] = [];

/**
 * The PROXY protocol header that names one client connection. Backend connections that began with it carry requests of that
 * client connection only; those that are idle are kept here, and go with it.
 */
export class Preface {
  readonly version: ProxyProtocol;
  readonly bytes: Buffer;
  /** The one used longest ago first. */
  private readonly idle = new Map<BackendTarget, UpstreamConnection>();
  private closed = false;

  constructor(version: ProxyProtocol, ends: Endpoints) {
    this.version = version;
    this.bytes = proxyHeader(version, ends);
  }

  /** The idle connection to this backend, which is not kept here any more. */
  take(backend: BackendTarget): UpstreamConnection | undefined {
    const found = this.idle.get(backend);
    if (found !== undefined) this.forget(found);
    return found;
  }

  /** Keeps an idle connection. @returns whether it may live on. */
  keep(connection: UpstreamConnection): boolean {
    const { backend } = connection;
    if (this.closed || this.idle.has(backend)) return false;
    if (this.idle.size === MOST_IDLE) for (const oldest of [...this.idle.values()].slice(0, 1)) oldest.expired();
    this.idle.set(backend, connection);
    backend.bound.add(connection);
    return true;
  }

  forget(connection: UpstreamConnection): void {
    const { backend } = connection;
    if (this.idle.get(backend) === connection) this.idle.delete(backend);
    backend.bound.delete(connection);
  }

  /** The client connection is over. */
  close(): void {
    this.closed = true;
    for (const connection of this.idle.values()) connection.expired();
  }
}

/** What connections of this client to this upstream begin with; null = nothing, and they may be anybody's. */
export function prefaceOf(upstream: UpstreamTarget, down: Prefaced): Preface | null {
  const { proxyProtocol } = upstream.policy;
  if (proxyProtocol === false) return null;
  const known = down.prefaces.find(({ version }) => version === proxyProtocol);
  if (known !== undefined) return known;
  const preface = new Preface(proxyProtocol, down.forwarder.ends);
  down.prefaces = [...down.prefaces, preface];
  return preface;
}
