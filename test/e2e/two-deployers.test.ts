import t from 'tap';
import type { Test } from 'tap';
import { once } from 'node:events';
import { openSync, closeSync, writeSync, ftruncateSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ConfigView } from '../../src/control/config-views.ts';
import type { HistoryEntry } from '../../src/history/history.ts';
import { Proxy } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

/** Stands before the admin API, and lets changes pass one after the other, once two of them are there. */
class Meeting {
  url = '';
  /** Bodies of the changes, in the order in which they have passed. */
  readonly passed: string[] = [];
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly adminUrl: string;

  private constructor(adminUrl: string) {
    this.adminUrl = adminUrl;
  }

  static async start(t: Test, { adminUrl }: Proxy): Promise<Meeting> {
    const meeting = new Meeting(adminUrl);
    const server = createServer((request, response) => void meeting.take(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    meeting.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return meeting;
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const pass = async (): Promise<void> => {
      const { host: _host, connection: _connection, 'content-length': _length, 'transfer-encoding': _coding, ...headers } = request.headers;
      const method = request.method ?? 'GET';
      if (method === 'PUT') this.passed.push(body);
      const answer = await fetch(this.adminUrl + request.url, {
        method,
        headers: headers as Record<string, string>,
        body: method === 'GET' ? undefined : body,
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(await answer.text());
    };
    if (request.method !== 'PUT') return pass();
    this.waiting.push(pass);
    if (this.waiting.length === 2) for (const each of this.waiting.splice(0)) await each();
  }
}

const config = async (proxy: Proxy): Promise<ConfigView> => (await proxy.admin('/v1/config')).json as ConfigView;
const history = async (proxy: Proxy): Promise<HistoryEntry[]> => (await proxy.admin('/v1/history?limit=100')).json as HistoryEntry[];

t.test('two people apply at the same time: one wins, the other gets 5 with the name of who was faster, and nothing of theirs is done', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: {} });
  const meeting = await Meeting.start(t, proxy);
  const dir = await tempDir(t);
  const listeners = [{ host: '127.0.0.1', port: proxy.port }];
  const before = await config(proxy);
  const apply = async (name: string) => {
    const file = join(dir, `${name}.json`);
    await writeFile(file, JSON.stringify({ listeners, upstreams: { [name]: { routes: [{ path: `/${name}` }] } } }));
    return proxy.cliProcess(['apply', '--config', file, '--yes', '--admin', meeting.url], { USER: name });
  };
  const [ann, bob] = [await apply('ann'), await apply('bob')];
  t.teardown(() => Promise.all([ann.stop('SIGKILL'), bob.stop('SIGKILL')]));
  const ended = await Promise.all([ann.wait(), bob.wait()]);
  const annWon = meeting.passed[0].includes('/ann');
  const [winner, loser] = annWon ? [ann, bob] : [bob, ann];
  const [name, other] = annWon ? ['ann', 'bob'] : ['bob', 'ann'];
  t.strictSame(
    ended.map(({ code }) => code),
    annWon ? [0, 5] : [5, 0],
    ann.stderr + bob.stderr,
  );
  t.match(winner.stdout, /^applied: revision \d+; take it back with: switchyard undo$/m);
  t.match(
    loser.stderr,
    new RegExp(`The configuration is at revision ${before.revision + 1}, changed by admin@127\\.0\\.0\\.1/${name} at .*; not at ${before.revision}`),
  );
  t.match(loser.stderr, /look at what has changed with: switchyard history/);
  const now = await config(proxy);
  t.strictSame(Object.keys(now.config.upstreams as object), [name]);
  t.equal(now.revision, before.revision + 1);
  t.notMatch(JSON.stringify(await history(proxy)), `upstreams.${other}`);
  // Who looks again sees what was done meanwhile, and adds to it.
  const again = await proxy.cli(['apply', '--config', join(dir, `${other}.json`), '--yes'], { env: { USER: other } });
  t.equal(again.code, 0, again.stderr);
  t.match(again.stdout, new RegExp(`= upstreams\\.${name} runs and is not in the file`));
  t.strictSame(Object.keys((await config(proxy)).config.upstreams as object).sort(), ['ann', 'bob']);
});

t.test('an undo of an undo brings back what the first has taken away, and each is a change of its own', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: {} });
  const body = async (): Promise<unknown> => ((await config(proxy)).config as { upstreams: { web: { limits: { body: unknown } } } }).upstreams.web.limits.body;
  for (const most of [100, 200]) {
    const { status } = await proxy.admin('/v1/config', { method: 'PUT', body: { upstreams: { web: { routes: [{}], limits: { body: most } } } } });
    t.equal(status, 200);
  }
  const [second, first] = await history(proxy);
  for (const [to, most] of [
    [first.id, 100],
    [second.id, 200],
    [first.id, 100],
  ] as const) {
    const undone = await verb(proxy, 'undo');
    t.equal(undone.code, 0, undone.stderr);
    t.equal(await body(), most);
    t.match((await history(proxy))[0], { kind: 'config', changes: [{ path: 'upstreams.web.limits.body', to: most }] }, `as after ${to}`);
  }
  t.strictSame(
    (await history(proxy)).slice(0, 4).map(({ changes: [{ from, to }] }) => [from, to]),
    [
      [200, 100],
      [100, 200],
      [200, 100],
      [100, 200],
    ],
  );
  await proxy.kill();
  await proxy.restart();
  t.equal(await body(), 100);
  t.equal((await verb(proxy, 'undo')).code, 0);
  t.equal(await body(), 200, 'also after kill -9');
});

t.test('a file that an editor empties and writes again piece by piece: what runs stays until it is whole', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: {} });
  const { revision } = await config(proxy);
  let whole = '';
  await proxy.editConfig((before) => {
    whole = JSON.stringify({ ...before, upstreams: { web: { routes: [{}] } } });
    return before;
  });
  const file = openSync(proxy.configFile, 'r+');
  const refusals = (): number => proxy.output.split('was not reloaded, the running one stays').length - 1;
  try {
    ftruncateSync(file, 0);
    await eventually('the empty file to be refused', () => refusals() === 1);
    t.match(proxy.output, /proxy\.config\.json: it is not valid JSON/);
    writeSync(file, whole.slice(0, whole.length / 2), 0);
    await eventually('the half of it to be refused', () => refusals() === 2);
    t.equal((await config(proxy)).revision, revision);
    writeSync(file, whole.slice(Math.floor(whole.length / 2)), Math.floor(whole.length / 2));
  } finally {
    closeSync(file);
  }
  await eventually('the whole', async () => 'upstreams.web' in (await config(proxy)).owners);
  t.equal((await config(proxy)).revision, revision + 1);
  t.equal(refusals(), 2);
});
