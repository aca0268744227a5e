import t from 'tap';
import { readFileSync } from 'node:fs';
import type { Response } from '../helpers/message.ts';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { settledCounts, versionState } from '../proxy/counts.ts';

const MB = 1024 * 1024;
const backend = await RawUpstream.start(t, (request, connection) => connection.respond(200, request.target));
const upstreams = { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'web' }], timeouts: { idle: '20s' } }) };
const proxy = await Proxy.start(t, { dataThreads: 1, timeouts: { clientHead: '3s', body: '2s' }, upstreams });
const { port } = proxy;

function rss(): number {
  const status = readFileSync(`/proc/${proxy.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

async function openClients(of = proxy): Promise<number> {
  const { text } = await of.admin('/metrics');
  return Number(/^switchyard_client_connections (\d+)$/m.exec(text)?.[1]);
}

function reasonOf(response: Response): string | undefined {
  return /details="(.*)"/.exec(field(response, 'proxy-status') ?? '')?.[1];
}

t.test('10 000 requests in one write are answered one by one, in order, and in bounded memory', async (t) => {
  using client = await RawClient.connect(port);
  const before = rss();
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, rss())), 20);
  t.teardown(() => clearInterval(watch));
  client.write(Buffer.concat(Array.from({ length: 10_000 }, (_, i) => requestBytes({ host: 'web', target: `/${i}` }))));
  let wrong = 0;
  for (let i = 0; i < 10_000; i++) {
    const response = await client.response('GET', 20_000);
    if (response.status !== 200 || response.body.toString() !== `/${i}`) wrong++;
  }
  t.equal(wrong, 0);
  t.ok(most - before < 100 * MB, `${Math.round((most - before) / MB)} MB more at the most`);
});

t.test('a flood that the proxy answers by itself leaves the others their turn', { timeout: 170_000 }, async (t) => {
  const flood = requestBytes({ host: 'nowhere' }).toString('latin1').repeat(2_000);
  const floods: RawClient[] = [];
  let going = true;
  t.teardown(() => {
    going = false;
    floods.forEach((client) => client.destroy());
  });
  // Who does not read for two seconds, because this process stands still, is cut: then it comes again.
  const flooding = Array.from({ length: 8 }, async () => {
    while (going) {
      const client = await RawClient.connect(port);
      floods.push(client);
      client.discard = true;
      while (going && client.ending === 'open') {
        const due = client.total + 1;
        client.write(flood);
        await client.until(() => client.total >= due || client.ending !== 'open', 'an answer to the flood, or the end', 20_000, true);
        await sleep(1);
      }
    }
  });
  await eventually('eight floods', () => floods.length >= 8 && floods.every(({ total }) => total > 0));
  using other = await RawClient.connect(port);
  /** Answers to the flood meanwhile, in bytes: what time it takes says more about what else the machine does. */
  const meanwhile: number[] = [];
  const flooded = (): number => floods.reduce((sum, { total }) => sum + total, 0);
  for (let i = 0; i < 60; i++) {
    const before = flooded();
    t.equal((await other.request({ host: 'web' }, 20_000)).status, 200);
    meanwhile.push(flooded() - before);
  }
  going = false;
  await Promise.all(flooding);
  meanwhile.sort((a, b) => a - b);
  t.comment(`${meanwhile[30]} bytes, ${floods.length} floods`);
  // With all that is in one read of each of eight clients in one turn it would be megabytes.
  t.ok(meanwhile[30] < 500_000, `${meanwhile[30]} bytes of answers to the flood beside half of the requests`);
});

t.test('a flood whose answers nobody reads stops at the limit of what is kept', async (t) => {
  const flood = requestBytes({ host: 'nowhere' }).toString('latin1').repeat(20_000);
  let client: RawClient | null = null;
  t.teardown(() => client?.destroy());
  // It is cut after two seconds, and has nothing left to send then.
  const { more, unsent } = await undisturbed(
    1_000,
    async () => {
      client?.destroy();
      client = await RawClient.connect(port);
      client.socket.pause();
      const before = rss();
      for (let i = 0; i < 10; i++) client.write(flood);
      await sleep(500);
      return { more: rss() - before, unsent: client.socket.writableLength };
    },
    (found) => found.unsent > MB,
  );
  t.ok(more < 60 * MB, `${Math.round(more / MB)} MB more`);
  t.ok(unsent > MB, 'the proxy has stopped reading');
  await eventually('who reads nothing is cut', async () => (await openClients()) === 0, 30_000, 100);
});

t.test('endless heads are refused as soon as they are too large', async (t) => {
  for (const [name, bytes, reason] of [
    ['many fields', `GET / HTTP/1.1\r\nHost: web\r\n${'a: b\r\n'.repeat(100_000)}`, 'head-too-large'],
    ['one huge field', `GET / HTTP/1.1\r\nHost: web\r\nX: ${'x'.repeat(500_000)}`, 'head-too-large'],
    ['a line without an end', `GET /${'x'.repeat(500_000)}`, 'target-too-long'],
    ['a method without an end', 'G'.repeat(500_000), 'not-implemented'],
    ['empty lines', '\r\n'.repeat(100_000), 'bad-method'],
  ]) {
    using client = await RawClient.connect(port);
    client.write(bytes);
    const response = await client.response();
    t.equal(reasonOf(response), reason, name);
    t.not(await client.closed(), 'open');
  }
});

t.test('connections that only begin a TLS handshake, or say nothing, are gone in time', async (t) => {
  let clients: RawClient[] = [];
  t.teardown(() => clients.forEach((client) => client.destroy()));
  const beginTls = async (): Promise<RawClient> => {
    const client = await RawClient.connect(port);
    client.write(Buffer.from('16030100c8010000c40303', 'hex'));
    return client;
  };
  // Who comes to say something after three seconds only is gone.
  const reasons = await undisturbed(1_000, async () => {
    clients.forEach((client) => client.destroy());
    clients = await Promise.all(Array.from({ length: 200 }, (_, i) => (i < 100 ? beginTls() : RawClient.connect(port))));
    return Promise.all(clients.slice(0, 100).map(async (client) => reasonOf(await client.response())));
  });
  t.strictSame(new Set(reasons), new Set(['tls-on-plain-port']));
  await eventually('nobody is left', async () => (await openClients()) === 0, 30_000, 50);
  t.ok(
    clients.slice(100).every(({ total }) => total === 0),
    'who said nothing is told nothing',
  );
});

t.test('idle connections end after keepAlive', async (t) => {
  const short = await Proxy.start(t, { dataThreads: 1, timeouts: { keepAlive: '2s' }, upstreams });
  const isEmpty = async (): Promise<boolean> => (await openClients(short)) === 0;
  let clients: RawClient[] = [];
  t.teardown(() => clients.forEach((client) => client.destroy()));
  const kept = await undisturbed(
    500,
    async () => {
      clients.forEach((client) => client.destroy());
      await eventually('nobody is there yet', isEmpty, 30_000, 50);
      clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(short.port)));
      const answers = await Promise.all(clients.map((client) => client.request({ host: 'web' })));
      return { ok: answers.filter(({ status }) => status === 200).length, open: await openClients(short) };
    },
    ({ open }) => open === 100,
  );
  t.strictSame(kept, { ok: 100, open: 100 });
  await eventually('nobody is left', isEmpty, 30_000, 50);
  t.strictSame(new Set(await Promise.all(clients.map((client) => client.closed()))), new Set(['end']));
  t.equal((await settledCounts(short)).clientAborted, 0);
  await eventually('nothing is held at the backend', async () => (await versionState(short)).backends[0].inFlight === 0);
});
