import t from 'tap';
import { readFileSync } from 'node:fs';
import type { Response } from '../helpers/message.ts';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { settledCounts, versionState } from '../proxy/counts.ts';

const MB = 1024 * 1024;
const backend = await RawUpstream.start(t, (request, connection) => connection.respond(200, request.target));
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  timeouts: { clientHead: '2s', keepAlive: '1500ms', body: '2s' },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'web' }], timeouts: { idle: '20s' } }) },
});
const { port } = proxy;

function rss(): number {
  const status = readFileSync(`/proc/${proxy.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

async function openClients(): Promise<number> {
  const { text } = await proxy.admin('/metrics');
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
  const floods = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(port)));
  t.teardown(() => floods.forEach((client) => client.destroy()));
  let going = true;
  const flooding = floods.map(async (client) => {
    client.discard = true;
    while (going && client.ending === 'open') {
      const due = client.total + 1;
      client.write(flood);
      await client.until(() => client.total >= due, 'an answer to the flood', 20_000, true);
      await sleep(1);
    }
  });
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
  // With all that is in one read of each of eight clients in one turn it would be megabytes.
  t.ok(meanwhile[30] < 500_000, `${meanwhile[30]} bytes of answers to the flood beside half of the requests`);
});

t.test('a flood whose answers nobody reads stops at the limit of what is kept', async (t) => {
  using client = await RawClient.connect(port);
  client.socket.pause();
  const before = rss();
  const flood = requestBytes({ host: 'nowhere' }).toString('latin1').repeat(20_000);
  for (let i = 0; i < 10; i++) client.write(flood);
  await sleep(500);
  t.ok(rss() - before < 60 * MB, `${Math.round((rss() - before) / MB)} MB more`);
  t.ok(client.socket.writableLength > MB, 'the proxy has stopped reading');
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
  const clients = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(port)));
  t.teardown(() => clients.forEach((client) => client.destroy()));
  for (const client of clients.slice(0, 100)) client.write(Buffer.from('16030100c8010000c40303', 'hex'));
  for (const client of clients.slice(0, 100)) t.equal(reasonOf(await client.response()), 'tls-on-plain-port');
  await eventually('nobody is left', async () => (await openClients()) === 0, 30_000, 50);
  t.ok(
    clients.slice(100).every(({ total }) => total === 0),
    'who said nothing is told nothing',
  );
});

t.test('idle connections end after keepAlive', async (t) => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
  t.teardown(() => clients.forEach((client) => client.destroy()));
  for (const client of clients) t.equal((await client.request({ host: 'web' })).status, 200);
  t.equal(await openClients(), 100);
  await eventually('nobody is left', async () => (await openClients()) === 0, 30_000, 50);
  t.ok(clients.every(({ ending }) => ending === 'end'));
  t.equal((await settledCounts(proxy)).clientAborted, 0);
  await eventually('nothing is held at the backend', async () => (await versionState(proxy)).backends[0].inFlight === 0);
});
