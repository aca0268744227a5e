import type { EdgePolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { WebhookPolicy } from '../pool/webhook.ts';
import type { ListenerTls } from './certificates.ts';
import type { LaunchFields, LaunchSpec } from './launch.ts';

/** A version as the file seeds it. */
export interface SeedVersion {
  readonly id: string;
  /** Empty when it is launched. */
  readonly backends: readonly { readonly address: string; readonly weight: number }[];
  /** How its processes are started; null = they run already. */
  readonly launch: LaunchSpec | null;
}

export interface UpstreamConfig {
  readonly name: string;
  /** As it was written, with the content of files in it: JSON that brings the same about on any machine. */
  readonly spec: unknown;
  readonly policy: UpstreamPolicy;
  readonly versions: readonly SeedVersion[];
  /** One of `versions`, or null: nothing gets traffic until a swap. */
  readonly live: string | null;
  /** Defaults of deploys; null = none. */
  readonly launch: LaunchFields | null;
}

export type Scope = 'read' | 'operate' | 'report';

export interface AdminToken {
  readonly name: string;
  readonly token: string;
  readonly scope: Scope;
}

export interface AdminConfig {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly tokens: readonly AdminToken[];
  readonly allowedHosts: readonly string[];
  /** Whether deploys may start programs; null = while only this machine can reach the admin API. */
  readonly deploy: boolean | null;
}

export interface ListenerConfig {
  readonly host: string;
  readonly port: number;
  /** Whose connections begin with a PROXY protocol header: nobody's, those of `trustedProxies`, or of these addresses and networks. */
  readonly proxyProtocol: boolean | readonly string[];
  /** null = plain HTTP. */
  readonly tls: ListenerTls | null;
  /** Without TLS: clients that know that HTTP/2 is spoken here may begin with it. */
  readonly http2: boolean;
}

/** What the proxy does about what it has its configuration from. */
export interface PullPolicy {
  /** Between two looks at a URL. */
  readonly interval: number;
  /** Of one look. */
  readonly timeout: number;
  /** What was changed by hand is put back at the next look. */
  readonly enforce: boolean;
}

/** The configuration, valid as a whole, with all defaults filled in. Durations are milliseconds. */
export interface Config {
  readonly listeners: readonly ListenerConfig[];
  readonly admin: AdminConfig;
  readonly dataThreads: number;
  /** Absolute. */
  readonly stateDir: string;
  readonly edge: EdgePolicy;
  readonly pull: PullPolicy;
  /** The fields of the top level that were written, of those that can change while the proxy runs; as `UpstreamConfig.spec`. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly webhooks: readonly WebhookPolicy[];
  readonly shutdown: { readonly drain: number };
  readonly launch: {
    /** From which the ports of launched processes are taken, both ends included. */
    readonly ports: { readonly from: number; readonly to: number };
    /** Whether launched processes go on when the proxy ends, or end with it. */
    readonly onShutdown: 'keep' | 'stop';
  };
  /** In the order of the file. */
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>;
}
