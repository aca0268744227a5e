import t from 'tap';
import { Backends } from '../helpers/backends.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

/** A series with its labels in the order of their names. */
function sorted(name: string): string {
  return name.replace(/\{(.*)\}/, (_, labels: string) => `{${(labels.match(/\w+="[^"]*"/g) ?? []).toSorted().join(',')}}`);
}

/** All series of an exposition. */
class Series {
  readonly values: ReadonlyMap<string, number>;

  constructor(text: string) {
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    this.values = new Map(lines.map((line) => [sorted(line.slice(0, line.lastIndexOf(' '))), Number(line.slice(line.lastIndexOf(' ') + 1))]));
  }

  get(name: string): number | undefined {
    return this.values.get(sorted(name));
  }
}

t.test('what is scraped is what has happened', async (t) => {
  const backends = await Backends.start(t);
  const addresses = await backends.listen('v1');
  const proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{ host: 'web.example' }],
        health: { interval: '100ms', admitInterval: '20ms' },
        drain: { requests: '300ms' },
        versions: { v1: { backends: addresses } },
      },
    },
  });
  const scrape = async (): Promise<Series> => {
    const { headers, text } = await proxy.admin('/metrics');
    t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    return new Series(text);
  };
  const host = 'web.example';
  for (let i = 0; i < 10; i++) t.equal((await proxy.send({ host })).status, 200);
  for (let i = 0; i < 3; i++) t.equal((await proxy.send({ host, method: 'POST', body: 'x'.repeat(100), target: '/slow?ms=20' })).status, 200);
  await backends.answers('v1', 'error');
  for (let i = 0; i < 2; i++) t.equal((await proxy.send({ host })).status, 500);
  await backends.answers('v1', 'reset');
  t.equal((await proxy.send({ host, method: 'POST', body: 'x' })).status, 502);
  await backends.answers('v1', 'normal');
  t.equal((await proxy.send({ host: 'other.example' })).status, 404);
  const held = proxy.send({ host, target: '/hold' }, 60_000);
  await eventually('the request', async () => (await backends.record('v1')).held === 1);

  await eventually('the other connections to be closed', async () => (await scrape()).get('switchyard_client_connections') === 1);
  const now = await scrape();
  const web = 'upstream="web",version="v1"';
  const is = (name: string, value: number): void => void t.equal(now.get(name), value, name);
  is(`switchyard_requests_total{${web},code="2xx"}`, 13);
  is(`switchyard_requests_total{${web},code="5xx"}`, 3);
  is(`switchyard_requests_total{${web},code="4xx"}`, 0);
  is(`switchyard_request_duration_seconds_count{${web}}`, 16);
  is(`switchyard_request_duration_seconds_bucket{le="+Inf",${web}}`, 16);
  const sum = now.get(`switchyard_request_duration_seconds_sum{${web}}`) ?? 0;
  t.ok(sum >= 0.06 && sum < 10, `${sum} s in all`);
  const perBackend = (name: string): number[] => addresses.map((address) => now.get(`${name}{${web},backend="${address}"}`) ?? Number.NaN);
  t.equal(
    perBackend('switchyard_backend_requests_total').reduce((a, b) => a + b),
    17,
    'requests by backend',
  );
  t.equal(
    perBackend('switchyard_in_flight').reduce((a, b) => a + b),
    1,
    'in flight',
  );
  t.strictSame(perBackend('switchyard_backend_healthy'), [1, 1]);
  is(`switchyard_upstream_failures_total{${web},reason="reset"}`, 1);
  is(`switchyard_upstream_failures_total{${web},reason="dial-failed"}`, 0);
  is('switchyard_rejected_requests_total{reason="no-route"}', 1);
  is('switchyard_retries_total', 0);
  for (const kind of ['http', 'stream', 'tunnel']) is(`switchyard_killed_total{${web},kind="${kind}"}`, 0);
  is(`switchyard_split_weight{${web}}`, 100);
  is(`switchyard_version_phase{${web},phase="live"}`, 1);
  is(`switchyard_version_phase{${web},phase="draining"}`, 0);
  is('switchyard_swaps_total{upstream="web",outcome="done"}', 0);
  is('switchyard_client_connections', 1);
  const generation = now.get('switchyard_generation') ?? 0;
  t.ok(generation > 1);
  for (const thread of [0, 1]) is(`switchyard_thread_acked_generation{thread="${thread}"}`, generation);
  t.ok((now.get('process_cpu_seconds_total') ?? 0) > 0 && (now.get('process_resident_memory_bytes') ?? 0) > 1e6, 'process metrics');

  const backendArgs = [...(await backends.listen('v2')), `127.0.0.1:${await freePort()}`].flatMap((address) => ['--backend', address]);
  t.equal((await verb(proxy, 'swap', 'web', '--to', 'v2', ...backendArgs, '--admission-timeout', '300ms')).code, 1);
  t.equal((await verb(proxy, 'swap', 'web', '--to', 'v2', ...backendArgs.slice(0, 4), '--drain-timeout', '200ms', '--rollback-keep', '10m')).code, 3);
  t.equal((await held).status, 503);
  const kept = await scrape();
  t.equal(kept.get(`switchyard_killed_total{${web},kind="http"}`), 1);
  t.equal(kept.get(`switchyard_version_phase{${web},phase="drained"}`), 1);
  t.equal(kept.get('switchyard_swaps_total{upstream="web",outcome="rejected"}'), 1);
  t.equal(kept.get('switchyard_swaps_total{upstream="web",outcome="done"}'), 1);
  t.ok((kept.get('switchyard_swap_phase_seconds{upstream="web",phase="draining"}') ?? 0) >= 0.2, 'seconds spent draining');
  t.equal((await proxy.admin('/v1/upstreams/web/versions/v1', { method: 'DELETE' })).status, 200);
  const after = await scrape();
  t.strictSame(
    [...after.values.keys()].filter((name) => name.includes('version="v1"')),
    [],
    'a released version is gone from all series',
  );
  t.equal(after.get('switchyard_split_weight{upstream="web",version="v2"}'), 100);
});

t.test('retries are counted, and the request is not lost', async (t) => {
  const backends = await Backends.start(t);
  const addresses = await backends.listen('v1');
  const proxy = await Proxy.start(t, {
    upstreams: { web: { routes: [{}], health: { interval: '30s', admitInterval: '20ms' }, versions: { v1: { backends: addresses } } } },
  });
  await backends.close('v1', addresses[0]);
  for (let i = 0; i < 20; i++) t.equal((await proxy.send()).status, 200);
  const now = new Series((await proxy.admin('/metrics')).text);
  const retries = now.get('switchyard_retries_total') ?? 0;
  t.ok(retries > 0, `${retries} retries`);
  t.equal(now.get('switchyard_upstream_failures_total{upstream="web",version="v1",reason="dial-failed"}'), retries);
  t.equal(now.get('switchyard_requests_total{upstream="web",version="v1",code="2xx"}'), 20);
});
