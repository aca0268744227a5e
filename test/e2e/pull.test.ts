import t from 'tap';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigView } from '../../src/control/config-views.ts';
import type { HistoryEntry } from '../../src/history/history.ts';
import { Backends } from '../helpers/backends.ts';
import { Authority } from '../helpers/certificates.ts';
import { freePort } from '../helpers/ports.ts';
import { MAIN, NodeProcess } from '../helpers/process.ts';
import { send } from '../helpers/raw_client.ts';
import { tempDir } from '../helpers/temp.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms' };
const KEY = 'the key of the documents';

/** A web server that gives out one document, signed, with an ETag. */
class Site {
  readonly url: string;
  readonly asked: IncomingMessage[] = [];
  body = '';
  version = 0;
  signed = true;
  notModified = 0;
  readonly #server: ReturnType<typeof createServer>;

  private constructor(port: number, server: ReturnType<typeof createServer>) {
    this.url = `https://localhost:${port}/edge.json`;
    this.#server = server;
  }

  static async start(t: Teardown, authority: Authority): Promise<Site> {
    const { cert, key } = await authority.issue();
    const port = await freePort();
    const server = createServer({ cert, key });
    const site = new Site(port, server);
    server.on('request', (request, response) => {
      site.asked.push(request);
      const etag = `"${site.version}"`;
      if (request.headers.authorization !== 'Bearer a-token-for-documents') response.writeHead(401).end();
      else if (request.headers['if-none-match'] === etag) {
        site.notModified++;
        response.writeHead(304).end();
      } else {
        const signature = createHmac('sha256', site.signed ? KEY : 'another key')
          .update(site.body)
          .digest('hex');
        response.writeHead(200, { etag, 'x-switchyard-signature': `sha256=${signature}` }).end(site.body);
      }
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    t.teardown(() => site.close());
    return site;
  }

  give(document: unknown): void {
    this.version++;
    this.body = typeof document === 'string' ? document : JSON.stringify(document);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

async function json<T>(url: string, method = 'GET', body?: unknown): Promise<T> {
  const answer = await fetch(url, { method, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(30_000) });
  return (await answer.json()) as T;
}

t.test('a URL is followed by its ETag; a bad document in the middle changes nothing; a start without the network has the last good one', async (t) => {
  const authority = await Authority.create(t);
  const site = await Site.start(t, authority);
  const backends = await Backends.start(t);
  const dir = await tempDir(t);
  const [port, adminPort] = [await freePort(), await freePort()];
  const web = { routes: [{}], health: HEALTH, versions: { v1: { backends: await backends.listen('v1') } } };
  const pull = { interval: '100ms', timeout: '1s' };
  const document = (more: Record<string, unknown> = {}): Record<string, unknown> => {
    return { listeners: [{ host: '127.0.0.1', port }], admin: { port: adminPort }, dataThreads: 1, pull, upstreams: { web: { ...web, ...more } } };
  };
  const admin = `http://127.0.0.1:${adminPort}`;
  const env = { NODE_EXTRA_CA_CERTS: authority.certFile, SWITCHYARD_CONFIG_TOKEN: 'a-token-for-documents', SWITCHYARD_CONFIG_HMAC_KEY: KEY };
  const args = [MAIN, 'run', '--config-from', site.url, '--state-dir', join(dir, 'state')];
  const run = (): NodeProcess => new NodeProcess(args, { cwd: dir, env });
  site.give(document());
  let proxy = run();
  t.teardown(() => proxy.stop('SIGKILL'));
  const ready = (): Promise<unknown> =>
    eventually(
      'ready',
      () =>
        fetch(`${admin}/readyz`).then(
          ({ ok }) => ok,
          () => !proxy.running,
        ),
      60_000,
      50,
    );
  await ready();
  const status = async (): Promise<number> => (await send(port, { method: 'POST', body: 'x'.repeat(50) })).status;
  const metric = async (name: string): Promise<number> => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${admin}/metrics`)).text())?.[1]);
  const outcome = (name: string): Promise<number> => metric(`switchyard_config_pulls_total\\{outcome="${name}"\\}`);
  t.equal(await status(), 200, proxy.stderr);
  await eventually('a look that finds nothing new', () => site.notModified >= 2, 60_000);
  site.give(document({ limits: { body: 10 } }));
  await eventually('the limit', async () => (await status()) === 413, 60_000);
  site.give(document({ limits: { body: -1 } }));
  await eventually(
    'the refusal',
    () =>
      /error the configuration was not reloaded, the running one stays: https:\/\/localhost:\d+\/edge\.json: upstreams\.web\.limits\.body: expected/.test(
        proxy.stderr,
      ),
    60_000,
  );
  t.equal(await status(), 413, 'what runs stays');
  site.signed = false;
  site.give(document());
  await eventually('the other refusal', () => /is not signed with the key that was expected/.test(proxy.stderr), 60_000);
  t.equal(await status(), 413);
  t.ok((await outcome('refused')) >= 2);
  t.ok((await outcome('unchanged')) >= 2);
  t.equal(await outcome('applied'), 1);
  await proxy.stop('SIGKILL');
  await site.close();
  proxy = run();
  await ready();
  t.equal(await status(), 413, 'the last good one');
  t.match(proxy.stderr, /warn https:\/\/localhost:\d+\/edge\.json: .*; the proxy starts with the last good configuration/);
  const view = await json<ConfigView>(`${admin}/v1/config`);
  t.match(view, { source: { kind: 'pull', name: site.url }, owners: { 'upstreams.web': 'pull' }, drift: [] });
  t.notMatch(proxy.stdout + proxy.stderr + JSON.stringify(view), /a-token-for-documents|the key of the documents/);
});

t.test('a folder is one configuration; what is changed by hand is drift, and put back only when that is wanted', async (t) => {
  const backends = await Backends.start(t);
  const dir = await tempDir(t);
  const [port, adminPort] = [await freePort(), await freePort()];
  const web = { routes: [{}], health: HEALTH, versions: { v1: { backends: await backends.listen('v1') } } };
  const machine = { listeners: [{ host: '127.0.0.1', port }], admin: { port: adminPort }, dataThreads: 1, stateDir: '../state' };
  const folder = join(dir, 'conf');
  await mkdir(folder);
  const write = (name: string, content: unknown): Promise<void> => writeFile(join(folder, name), JSON.stringify(content));
  await write('10-machine.json', machine);
  await write('20-web.json', { upstreams: { web } });
  await write('_notes.json', { not: 'read' });
  const proxy = new NodeProcess([MAIN, 'run', '--config-from', folder], { cwd: dir });
  t.teardown(() => proxy.stop('SIGKILL'));
  const admin = `http://127.0.0.1:${adminPort}`;
  await eventually(
    'ready',
    () =>
      fetch(`${admin}/readyz`).then(
        ({ ok }) => ok,
        () => !proxy.running,
      ),
    60_000,
    50,
  );
  const view = (): Promise<ConfigView> => json(`${admin}/v1/config`);
  await write('30-api.json', { upstreams: { api: { routes: [{ path: '/api' }] } } });
  await eventually('the api', async () => 'upstreams.api' in (await view()).owners, 60_000);
  await write('40-more.json', { upstreams: { api: { routes: [{ path: '/other' }] } } });
  await eventually('the refusal', () => /upstreams\.api: expected it in one file, got it in 30-api\.json and in 40-more\.json/.test(proxy.stderr), 60_000);
  await write('40-more.json', {});
  await json(`${admin}/v1/upstreams/web`, 'PUT', { ...web, limits: { body: 7 } });
  t.match((await view()).drift, [{ path: 'upstreams.web.limits.body', from: null, to: 7 }]);
  process.kill(proxy.pid, 'SIGHUP');
  await write('50-timeouts.json', { timeouts: { body: '5s' } });
  await eventually('the timeouts', async () => (await view()).owners.timeouts === 'pull', 60_000);
  t.equal((await view()).drift.length, 1, 'it does not fight');
  await write('60-pull.json', { pull: { enforce: true } });
  await eventually('it is put back', async () => (await view()).drift.length === 0, 60_000);
  const [last] = await json<HistoryEntry[]>(`${admin}/v1/history`);
  t.match(last, {
    by: 'pull conf',
    via: 'pull',
    summary: 'what had been changed by hand is put back',
    changes: [{ path: 'upstreams.web.limits.body', from: 7, to: null }],
  });
});
