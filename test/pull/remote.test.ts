import t from 'tap';
import type { Test } from 'tap';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, RequestListener, Server } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Refusal } from '../../src/errors/catalogue.ts';
import { Remote } from '../../src/pull/remote.ts';
import { Authority } from '../helpers/certificates.ts';
import { tempDir } from '../helpers/temp.ts';

const MINUTE = 60_000;
const document = (body: number, pull: Record<string, unknown> = {}): string =>
  JSON.stringify({ listeners: [{ port: 8080 }], pull: { interval: '10s', timeout: '20s', ...pull }, upstreams: { web: { routes: [{}], limits: { body } } } });

/** A web server that answers what a test says, and a clock that the test moves. */
class World {
  url = '';
  cacheFile = '';
  answer: RequestListener = (_, response) => response.end(document(1));
  readonly asked: IncomingHttpHeaders[] = [];
  readonly told: string[] = [];
  /** Between this look and the next, in milliseconds; null = none is to come. */
  next: number | null = null;
  /** Where in its spread a wait lies. */
  chance = 0.5;

  static async start(t: Test, server: Server = createServer()): Promise<World> {
    const world = new World();
    server.on('request', (request, response) => {
      world.asked.push(request.headers);
      world.answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    world.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/edge.json?key=not-to-be-shown`;
    world.cacheFile = join(await tempDir(t), 'state', 'pulled.json');
    return world;
  }

  remote(t: Test, more: Partial<ConstructorParameters<typeof Remote>[0]> = {}): Remote {
    const remote = new Remote({
      url: this.url,
      cacheFile: this.cacheFile,
      tell: (level, message) => this.told.push(`${level} ${message}`),
      random: () => this.chance,
      after: (ms) => {
        this.next = ms;
        return () => void (this.next = null);
      },
      ...more,
    });
    t.teardown(() => remote.close());
    return remote;
  }
}

t.test('after failures it is asked half as often each time, down to once in five minutes, and as often as before after a success', async (t) => {
  const world = await World.start(t);
  const remote = world.remote(t);
  await remote.first();
  remote.watch(() => undefined);
  t.equal(world.next, 10_000);
  world.answer = (_, response) => response.writeHead(503).end();
  const waits: (number | null)[] = [];
  for (let i = 0; i < 8; i++) {
    await t.rejects(remote.load(), { message: /edge\.json: it answered 503$/ });
    waits.push(world.next);
  }
  t.strictSame(waits, [20_000, 40_000, 80_000, 160_000, 5 * MINUTE, 5 * MINUTE, 5 * MINUTE, 5 * MINUTE]);
  for (const [chance, wait] of [
    [0, 270_000],
    [0.999_999, 330_000],
  ] as const) {
    world.chance = chance;
    await t.rejects(remote.load());
    t.equal(Math.round(world.next ?? 0), wait, 'spread by a tenth, so that many proxies do not come at once');
  }
  world.chance = 0.5;
  world.answer = (_, response) => response.end('no JSON');
  await t.rejects(remote.load(), { message: /edge\.json: expected JSON/ });
  t.equal(world.next, 5 * MINUTE, 'what is refused is a failure, too');
  world.answer = (_, response) => response.end(document(2));
  await remote.load();
  t.equal(world.next, 10_000);
  world.answer = (_, response) => response.end(document(3, { interval: '10m' }));
  await remote.load();
  world.answer = (_, response) => response.writeHead(500).end();
  await t.rejects(remote.load());
  t.equal(world.next, 10 * MINUTE, 'never more often than it is told to');
  remote.close();
  t.equal(world.next, null);
});

t.test('what has not changed is not read again: 304 by ETag, by date, and only for what was good', async (t) => {
  const world = await World.start(t);
  const remote = world.remote(t);
  world.answer = (_, response) => response.writeHead(200, { etag: '"1"', 'last-modified': 'Sun, 06 Nov 1994 08:49:37 GMT' }).end(document(1));
  const first = await remote.first();
  t.match(world.asked[0], { 'if-none-match': undefined, 'if-modified-since': undefined });
  world.answer = (_, response) => response.writeHead(304, { etag: '"1"' }).end();
  t.equal(await remote.load(), first, 'it is the very same');
  t.match(world.asked[1], { 'if-none-match': '"1"', 'if-modified-since': 'Sun, 06 Nov 1994 08:49:37 GMT' });
  world.answer = (_, response) => response.writeHead(200, { etag: '"2"' }).end('{"listeners": 5}');
  await t.rejects(remote.load(), Refusal);
  world.answer = (_, response) => response.writeHead(304).end();
  t.equal(await remote.load(), first);
  t.equal(world.asked[3]['if-none-match'], '"1"', 'the tag of what was refused is not remembered');
  world.answer = (_, response) => response.writeHead(200).end(document(3));
  await remote.load();
  world.answer = (_, response) => response.writeHead(304).end();
  await remote.load();
  t.match(world.asked[5], { 'if-none-match': undefined, 'if-modified-since': undefined }, 'nor one that is gone');
  const fresh = world.remote(t, { cacheFile: join(await tempDir(t), 'pulled.json') });
  await t.rejects(fresh.first(), { message: /it answered 304$/ }, '304 to somebody who has nothing is none');
});

t.test('a document that is too large, or comes too slowly, is not waited for to its end; the last good one is for the next start', async (t) => {
  const world = await World.start(t);
  const remote = world.remote(t);
  await remote.first();
  let closed = 0;
  world.answer = (_, response) => {
    response.on('close', () => closed++);
    response.writeHead(200);
    const more = (): void => {
      if (!response.destroyed) response.write(Buffer.alloc(65_536, 32), () => setImmediate(more));
    };
    more();
  };
  await t.rejects(remote.load(), { message: /edge\.json: the document is larger than 4194304 bytes$/ });
  world.answer = (_, response) => response.end(document(1, { timeout: '300ms' }));
  await remote.load();
  world.answer = (_, response) => {
    response.on('close', () => closed++);
    response.writeHead(200);
    const timer = setInterval(() => response.write(' '), 20);
    response.on('close', () => clearInterval(timer));
  };
  await t.rejects(remote.load(), { message: /edge\.json has not answered in 0\.3 s$/ }, 'a byte now and then is no answer');
  world.answer = (_, response) => void response.on('close', () => closed++);
  await t.rejects(remote.load(), { message: /edge\.json has not answered in 0\.3 s$/ });
  world.answer = (_, response) => {
    response.writeHead(200, { 'content-length': 1_000 }).write('{', () => response.destroy());
  };
  await t.rejects(remote.load(), { message: /./ }, 'nor is half of one');
  while (closed < 3) await new Promise((resolve) => setImmediate(resolve));
  t.pass('and their connections are closed');
  t.equal(await readFile(world.cacheFile, 'utf8'), document(1, { timeout: '300ms' }));
  world.answer = (_, response) => response.writeHead(500).end();
  const again = world.remote(t);
  t.equal((await again.first()).upstreams.get('web')?.policy.limits.body, 1);
  t.match(world.told, [/^warn .*edge\.json: it answered 500; the proxy starts with the last good configuration$/]);
  t.notMatch(world.told.join('\n'), /not-to-be-shown/);
});

t.test('redirects are not followed, and it is said', async (t) => {
  const world = await World.start(t);
  const remote = world.remote(t, { token: 'a-token' });
  for (const status of [301, 302, 307, 308]) {
    world.answer = (_, response) => response.writeHead(status, { location: 'http://127.0.0.1:1/elsewhere' }).end(document(1));
    await t.rejects(remote.first(), {
      message: new RegExp(`edge\\.json: it answered ${status}; redirects are not followed, so give the address that it leads to$`),
    });
  }
  t.equal(world.asked.length, 4);
});

t.test('a certificate that is not to be trusted: nothing is read, and the reason is said', async (t) => {
  const { cert, key } = await (await Authority.create(t)).issue();
  const world = await World.start(t, createSecure({ cert, key }));
  const remote = world.remote(t, { url: world.url.replace('http:', 'https:').replace('127.0.0.1', 'localhost') });
  await t.rejects(remote.first(), { message: /edge\.json: .*(self-signed|unable to (verify|get)|certificate)/i });
  t.equal(world.asked.length, 0);
});

t.test('a digest, or a signature, that is not the right one: refused, whatever the document says', async (t) => {
  const world = await World.start(t);
  const digest = createHash('sha256').update(document(1)).digest('hex');
  t.ok(await world.remote(t, { sha256: digest.toUpperCase() }).first());
  world.answer = (_, response) => response.end(document(2));
  const cacheFile = join(await tempDir(t), 'pulled.json');
  await t.rejects(world.remote(t, { sha256: digest, cacheFile }).first(), { message: new RegExp(`has the digest \\w{64}; expected ${digest}`) });
  for (const signature of [undefined, '', 'sha256=00', `sha256=${'0'.repeat(64)}`]) {
    world.answer = (_, response) => response.writeHead(200, signature === undefined ? {} : { 'x-switchyard-signature': signature }).end(document(2));
    await t.rejects(world.remote(t, { hmacKey: 'a key', cacheFile }).first(), { message: /is not signed with the key that was expected/ }, String(signature));
  }
});

t.test('only https, or http to this machine', (t) => {
  for (const url of ['http://example.com/a', 'ftp://127.0.0.1/a', 'https://', 'file:///etc/passwd']) {
    t.throws(() => new Remote({ url, cacheFile: '', tell: () => undefined }), { message: /expected a file, a folder or an https URL/ }, url);
  }
  t.end();
});
