/** The shape of the configuration file and its defaults. Unknown fields are errors. */
import { z } from 'zod';
import { backendTls } from './_backend-tls.ts';
import { canary } from './_canary-schema.ts';
import { gates } from './_gate-schema.ts';
import { listenerTls } from './_listener-tls.ts';
import { mirror, preview, skew, versionHeader } from './_steering.ts';
import { webhooks } from './_webhooks.ts';
import { launchFields } from './launch.ts';
import { errorPages, maintenance, route } from './_rules-schema.ts';
import { address, bindHost, cidr, duration, fieldName, fieldValue, grpcService, hostHeader, name, percent, probePath, secret, whole } from './_fields.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const GIB = 2 ** 30;
const MOST_BACKENDS = 1000;
const MOST_UPSTREAMS = 1000;

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) => z.enum(values);
const port = whole(1, 65_535);
const status = whole(100, 599);

const health = z.strictObject({
  kind: oneOf(['http', 'tcp', 'grpc', 'none']).default('http'),
  path: probePath.default('/healthz'),
  host: hostHeader.nullable().default(null),
  port: port.nullable().default(null),
  interval: duration(10).default(2 * SECOND),
  admitInterval: duration(10).optional(),
  timeout: duration(10).default(5 * SECOND),
  rise: whole(1, 100).default(2),
  fall: whole(1, 100).default(3),
  expectStatus: z
    .union([status.transform((one) => [one]), z.array(status).min(1).max(100)], { error: 'a status from 100 to 599 or a list of them' })
    .nullable()
    .default(null),
  expectHeader: z.record(fieldName, fieldValue).default({}),
  service: grpcService.default(''),
  failOpen: percent.default(50),
});

const rate = z.strictObject({
  requests: whole(1, 1_000_000),
  per: duration(1).default(SECOND),
  burst: whole(1, 1_000_000).optional(),
});

const rateOrNone = z
  .union([z.null(), rate], { error: 'null or {requests, per, burst}' })
  .default(null)
  .transform((value) => value && { ...value, burst: value.burst ?? value.requests });

const outlier = z.strictObject({
  failures: whole(0, 1_000_000).default(5),
  base: duration(10).default(30 * SECOND),
  max: duration(10).default(300 * SECOND),
  maxEjected: percent.default(10),
  answers: z
    .union([z.literal(false), oneOf(['gateway', '5xx'])], { error: "'gateway', '5xx' or false" })
    .default(false)
    .transform((value) => (value === false ? 600 : value === '5xx' ? 500 : 502)),
});

const slowStart = z.strictObject({
  window: duration(0),
  aggression: z.custom<number>((value) => typeof value === 'number' && value > 0 && value <= 100, { error: 'a number over 0, up to 100' }).default(1),
  minWeight: percent.default(10),
});

const backend = z.union([address.transform((text) => ({ address: text, weight: 1 })), z.strictObject({ address, weight: whole(1, 1000).default(1) })], {
  error: "'host:port' or {address, weight}",
});

const version = z
  .strictObject({ backends: z.array(backend).min(1).max(MOST_BACKENDS).optional(), launch: launchFields.optional() })
  .refine(({ backends, launch }) => (backends === undefined) !== (launch === undefined), { error: 'either backends or launch' });

const portRange = z
  .custom<string>((value) => typeof value === 'string' && isPortRange(value), { error: "a range of at least 10 ports from 1024 on, such as '20000-29999'" })
  .transform((value) => {
    const [from, to] = value.split('-').map(Number);
    return { from, to };
  });

function isPortRange(value: string): boolean {
  const match = /^(\d{4,5})-(\d{4,5})$/.exec(value);
  return match !== null && Number(match[1]) >= 1024 && Number(match[2]) <= 65_535 && Number(match[2]) - Number(match[1]) >= 9;
}

const memberName = name;

const workerVersion = z.union(
  [
    z.strictObject({
      members: z.union([whole(1, MOST_BACKENDS), z.array(memberName).min(1).max(MOST_BACKENDS)], { error: 'a number of members, or a list of their names' }),
    }),
    version,
  ],
  { error: '{members} (their number, or a list of their names), {launch}, or {backends} for members that are polled' },
);

const off = <T extends z.ZodType>(schema: T, shape: string) => z.union([z.literal(false), schema], { error: `false or ${shape}` });

const admission = z.strictObject({ timeout: duration(10).default(30 * SECOND), minReady: whole(1, MOST_BACKENDS).nullable().default(null) }).prefault({});
const rollback = z.strictObject({ keep: duration(0).default(0) }).prefault({});

/** An upstream whose members take jobs from a queue. */
const workerSchema = z.strictObject({
  kind: z.literal('worker'),
  worker: z
    .strictObject({
      ttl: duration(200).default(15 * SECOND),
      stop: duration(0).default(10 * SECOND),
      maxMembers: whole(1, 10_000).default(1000),
      poll: z
        .strictObject({ path: probePath, interval: duration(10).default(SECOND), timeout: duration(10).default(5 * SECOND) })
        .nullable()
        .default(null),
    })
    .prefault({}),
  admission,
  drain: z.strictObject({ requests: duration(0).default(5 * MINUTE) }).prefault({}),
  rollback,
  canary,
  gates,
  launch: launchFields.nullable().default(null),
  versions: z.record(name, workerVersion).default({}),
  live: name.nullable().optional(),
});

export const webSchema = z.strictObject({
  kind: z.literal('web').optional(),
  routes: z.array(route).min(1).max(1000),
  health: health.prefault({}),
  admission,
  drain: z.strictObject({ requests: duration(0).default(30 * SECOND), tunnels: duration(0).default(5 * MINUTE) }).prefault({}),
  rollback,
  canary,
  gates,
  balance: oneOf(['least-in-flight', 'round-robin', 'random', 'maglev']).default('least-in-flight'),
  sticky: z
    .strictObject({
      cookie: fieldName.nullable().default(null),
      header: fieldName.nullable().default(null),
      backend: z
        .union([z.null(), z.strictObject({ cookie: fieldName })], { error: 'null or {cookie}' })
        .default(null)
        .transform((value) => value && value.cookie),
    })
    .prefault({}),
  skew,
  preview,
  mirror,
  versionHeader,
  proxyProtocol: z.union([z.literal(false), oneOf(['v1', 'v2'])], { error: "'v1', 'v2' or false" }).default(false),
  retries: z.strictObject({ attempts: whole(0, 10).default(1), budget: percent.default(20) }).prefault({}),
  timeouts: z
    .strictObject({
      dial: duration(1).default(3 * SECOND),
      head: duration(1).default(30 * SECOND),
      idle: duration(1).default(60 * SECOND),
      tunnel: duration(1).default(60 * MINUTE),
    })
    .prefault({}),
  limits: z
    .strictObject({
      body: whole(0, Number.MAX_SAFE_INTEGER, ' (bytes)').nullable().default(null),
      connections: whole(1, 1_000_000).nullable().default(null),
      sockets: whole(1, 1_000_000).nullable().default(null),
      queue: z
        .union([z.null(), z.strictObject({ requests: whole(1, 1_000_000), timeout: duration(1).default(5 * SECOND) })], {
          error: 'null or {requests, timeout}',
        })
        .default(null),
      rate: rateOrNone,
    })
    .prefault({}),
  outlier: off(outlier, '{failures, base, max, maxEjected, answers}').prefault({}),
  slowStart: off(slowStart, '{window, aggression, minWeight}').default(false),
  hold: z
    .strictObject({
      queue: whole(0, 1_000_000).default(1000),
      timeout: duration(0).default(30 * SECOND),
      whenUnavailable: z.boolean().default(false),
    })
    .prefault({}),
  tls: backendTls,
  protocol: oneOf(['http1', 'h2']).default('http1'),
  errorPages,
  maintenance: maintenance.default(false),
  launch: launchFields.nullable().default(null),
  versions: z.record(name, version).default({}),
  live: name.nullable().optional(),
});

export const upstreamSchema = z.discriminatedUnion('kind', [webSchema, workerSchema], {
  error: ({ input }) => (typeof input === 'object' && input !== null && 'kind' in input ? "'web' or 'worker'" : undefined),
});

const token = z.strictObject({ name, token: secret, scope: oneOf(['read', 'operate', 'report']).default('operate') });

const admin = z.strictObject({
  host: bindHost.default('127.0.0.1'),
  port: whole(0, 65_535).default(9900),
  token: secret.optional(),
  tokens: z.array(token).max(100).default([]),
  allowedHosts: z.array(hostHeader).max(100).default([]),
  deploy: z.boolean().nullable().default(null),
});

const proxyProtocolPeers = z.union([z.boolean(), z.array(cidr).min(1).max(10_000)], { error: 'true, false or a list of IP addresses or networks' });

export const configSchema = z.strictObject({
  listeners: z
    .array(
      z.strictObject({
        host: bindHost.default('0.0.0.0'),
        port,
        proxyProtocol: proxyProtocolPeers.default(false),
        http2: z.boolean().default(false),
        tls: listenerTls.nullable().default(null),
      }),
    )
    .min(1)
    .max(64)
    .default([{ host: '0.0.0.0', port: 8080, proxyProtocol: false, http2: false, tls: null }]),
  admin: admin.prefault({}),
  dataThreads: z.union([z.literal('auto'), whole(1, 256)], { error: "'auto' or a whole number from 1 to 256" }).default('auto'),
  stateDir: z
    .custom<string>((value) => typeof value === 'string' && value !== '' && !value.includes('\0'), { error: 'the path of a folder' })
    .default('.switchyard'),
  trustedProxies: z.array(cidr).max(10_000).default([]),
  timeouts: z
    .strictObject({
      handshake: duration(1).default(10 * SECOND),
      clientHead: duration(1).default(10 * SECOND),
      keepAlive: duration(1).default(60 * SECOND),
      body: duration(1).default(30 * SECOND),
    })
    .prefault({}),
  limits: z
    .strictObject({
      head: whole(1024, GIB / 1024, ' (bytes)').default(32_768),
      headers: whole(1, 10_000).default(100),
      target: whole(64, GIB / 1024, ' (bytes)').default(8192),
      connections: whole(1, 10_000_000).default(10_000),
      handshakes: whole(1, 1_000_000).default(1000),
      streams: whole(1, 10_000).default(100),
      unread: whole(65_536, GIB, ' (bytes)').default(1_048_576),
      unreadTotal: whole(1_048_576, 1024 * GIB, ' (bytes)').default(268_435_456),
      connectionsPerClient: whole(1, 10_000_000).nullable().default(null),
      rate: rateOrNone,
      clients: whole(64, 2 ** 20).default(65_536),
      bodyRate: whole(1, GIB, ' (bytes per second)').nullable().default(null),
    })
    .prefault({}),
  accessLog: oneOf(['off', 'sampled', 'full']).default('off'),
  errorPages,
  webhooks,
  pull: z
    .strictObject({ interval: duration(100).default(30 * SECOND), timeout: duration(10).default(10 * SECOND), enforce: z.boolean().default(false) })
    .prefault({}),
  shutdown: z.strictObject({ drain: duration(0).default(30 * SECOND) }).prefault({}),
  launch: z.strictObject({ ports: portRange.default({ from: 20_000, to: 29_999 }), onShutdown: oneOf(['keep', 'stop']).default('keep') }).prefault({}),
  upstreams: z
    .record(name, upstreamSchema)
    .default({})
    .refine((all) => Object.keys(all).length <= MOST_UPSTREAMS, { error: `at most ${MOST_UPSTREAMS} upstreams` }),
});

export type ParsedUpstream = z.output<typeof upstreamSchema>;
export type ParsedWeb = z.output<typeof webSchema>;
export type ParsedWorker = z.output<typeof workerSchema>;
export type ParsedConfig = z.output<typeof configSchema>;
