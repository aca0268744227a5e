import type { GatePolicy } from '../../src/pool/gates.ts';
import type { UpstreamPolicy } from '../../src/pool/policy.ts';
import type { UpstreamState } from '../../src/pool/upstream.ts';
import type { Version } from '../../src/pool/version.ts';
import type { BackendHealth } from '../../src/health/evidence.ts';
import type { VersionInput } from '../../src/swap/ports.ts';

export type Kind = 'http' | 'stream' | 'tunnel';
export interface Request {
  slot: number;
  id: string;
  thread: number;
  kind: Kind;
}
export interface Probed {
  version: Version;
  mode: 'admitting' | 'fresh' | 'steady' | 'off';
  seen: Map<string, BackendHealth>;
}
export interface Timer {
  at: number;
  ms: number;
  run: () => void;
  seq: number;
}
export interface Thread {
  ack: number;
  table: UpstreamState | null;
  /** What the table was made by. */
  policy: UpstreamPolicy | null;
}

export const RISE = 2;
export const FALL = 3;

export function policy(change: Partial<UpstreamPolicy> = {}): UpstreamPolicy {
  return {
    worker: null,
    routes: [{ host: '*', path: '/', rules: null }],
    health: {
      kind: 'http',
      path: '/healthz',
      host: null,
      port: null,
      interval: 2_000,
      admitInterval: 1_000,
      timeout: 5_000,
      rise: RISE,
      fall: FALL,
      expectStatus: null,
      expectHeader: {},
      service: '',
      tls: null,
      protocol: 'http1',
      failOpen: 50,
      proxyProtocol: false,
    },
    admission: { timeout: 30_000, minReady: null },
    drain: { requests: 30_000, tunnels: 300_000 },
    rollback: { keep: 0 },
    canary: { steps: [], analysis: null },
    gates: [],
    balance: 'least-in-flight',
    sticky: { cookie: null, header: null, backend: null },
    skew: null,
    preview: null,
    mirror: null,
    versionHeader: null,
    proxyProtocol: false,
    retries: { attempts: 1, budget: 20 },
    timeouts: { dial: 3_000, head: 30_000, idle: 60_000, tunnel: 3_600_000 },
    limits: { body: null, connections: null, sockets: null, queue: null, rate: null },
    outlier: { failures: 5, base: 30_000, max: 300_000, maxEjected: 10, answers: 600 },
    slowStart: { window: 0, aggression: 1, minWeight: 10 },
    hold: { queue: 1_000, timeout: 30_000, whenUnavailable: false },
    errorPages: {},
    tls: null,
    protocol: 'http1',
    maintenance: null,
    ...change,
  };
}

export function gatePolicy(name: string, at: GatePolicy['at'], more: Partial<GatePolicy> = {}): GatePolicy {
  return { name, at, url: 'http://gate.test/', secret: 'not a secret', timeout: 60_000, onTimeout: 'stop', interval: 5_000, ...more };
}

/** A version with `count` backends whose addresses are told by its id. */
export function input(id: string, count = 2): VersionInput {
  return { id, backends: Array.from({ length: count }, (_, i) => ({ address: `${id}.test:${i + 1}`, weight: 1 })) };
}

export const OPERATOR = { by: 'operator' };
