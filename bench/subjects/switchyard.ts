import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scraping, swapping } from './disturbances.ts';
import type { Subject } from './subject.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

interface Variant {
  /** Of what: `switchyard`, or `switchyard, …`. */
  readonly name: string;
  /** Paths `/r/0` and so on instead of a catch-all. */
  readonly routes?: number;
  readonly upstreams?: number;
  readonly threads?: number;
  readonly bothCores?: boolean;
  readonly accessLog?: boolean;
  /** Percent of the requests that a second version on standby gets copies of; it has the same backend. */
  readonly mirrors?: number;
  readonly disturb?: Subject['disturb'];
  /** Further upstreams, by name. */
  readonly beside?: Readonly<Record<string, unknown>>;
  /** Arguments of Node before the script. */
  readonly nodeArgs?: readonly string[];
}

function upstreamsOf(variant: Variant, backendPort: number, h2c: boolean): Record<string, unknown> {
  const { routes = 1, upstreams = 1, mirrors } = variant;
  const versions = mirrors === undefined ? ['v1'] : ['v1', 'v2'];
  const each = routes / upstreams;
  const upstream = (index: number): Record<string, unknown> => ({
    routes: routes === 1 ? [{ path: '/' }] : Array.from({ length: each }, (_, i) => ({ path: `/r/${index * each + i}` })),
    ...(h2c ? { protocol: 'h2' } : {}),
    health: { kind: upstreams === 1 ? 'tcp' : 'none', admitInterval: '50ms' },
    versions: Object.fromEntries(versions.map((id) => [id, { backends: [`127.0.0.1:${backendPort}`] }])),
    ...(mirrors === undefined ? {} : { mirror: { percent: mirrors } }),
    live: 'v1',
  });
  return Object.fromEntries(Array.from({ length: upstreams }, (_, index) => [upstreams === 1 ? 'bench' : `bench-${index}`, upstream(index)]));
}

/** Ours with everything on that is on by default; one data thread unless the variant says otherwise. */
export function switchyardWith(variant: Variant): Subject {
  return {
    name: variant.name,
    base: 'switchyard',
    program: process.execPath,
    bothCores: variant.bothCores,
    disturb: variant.disturb,
    prepare({ dir, port, sparePort, backendPort, tls, h2c }) {
      const threads = variant.threads ?? 1;
      const config = {
        listeners: [{ host: '127.0.0.1', port, ...(tls === null ? {} : { tls: { certificates: [{ cert: tls.cert, key: tls.key }] } }) }],
        admin: { host: '127.0.0.1', port: sparePort },
        dataThreads: threads,
        limits: { connections: 12_000 },
        accessLog: variant.accessLog === true ? 'full' : 'off',
        stateDir: join(dir, 'state'),
        upstreams: { ...upstreamsOf(variant, backendPort, h2c), ...variant.beside },
      };
      const file = join(dir, 'proxy.config.json');
      writeFileSync(file, JSON.stringify(config));
      return [...(variant.nodeArgs ?? []), MAIN, 'run', '--config', file, '--threads', String(threads), '--port', String(port)];
    },
  };
}

export const switchyard = switchyardWith({ name: 'switchyard' });

export const switchyardVariants: readonly Subject[] = [
  { name: 'switchyard, 1 route' },
  { name: 'switchyard, 100 routes', routes: 100, upstreams: 10 },
  { name: 'switchyard, 10000 routes', routes: 10_000, upstreams: 100 },
  { name: 'switchyard, 1 thread', bothCores: true },
  { name: 'switchyard, 2 threads', threads: 2, bothCores: true },
  { name: 'switchyard, swapping', disturb: swapping },
  { name: 'switchyard, mirrors 0 %', mirrors: 0 },
  { name: 'switchyard, mirrors 10 %', mirrors: 10 },
  { name: 'switchyard, mirrors 100 %', mirrors: 100 },
  { name: 'switchyard, access log', accessLog: true },
  { name: 'switchyard, scraped', disturb: scraping },
].map(switchyardWith);
