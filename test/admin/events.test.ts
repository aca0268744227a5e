import t from 'tap';
import type { Test } from 'tap';
import { once } from 'node:events';
import { connect } from 'node:net';
import { request } from 'undici';
import WebSocket from 'ws';
import type { LoggedEvent } from '../../src/control/operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';
import type { TestAdmin } from '../helpers/admin-server.ts';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

interface Sse {
  readonly blocks: string[];
  next(count: number): Promise<string[]>;
  end(): void;
}

async function sse(t: Test, { url, operations }: TestAdmin, query = '', headers: Record<string, string> = {}): Promise<Sse> {
  const before = operations.listening;
  const answer = await request(`${url}/v1/events${query}`, { headers });
  t.equal(answer.statusCode, 200);
  t.equal(answer.headers['content-type'], 'text/event-stream; charset=utf-8');
  const blocks: string[] = [];
  let rest = '';
  answer.body.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n\n');
    rest = parts.pop() ?? '';
    blocks.push(...parts);
  });
  answer.body.on('error', () => {});
  t.teardown(() => answer.body.destroy());
  await until(() => operations.listening > before);
  return {
    blocks,
    end: () => void answer.body.destroy(),
    next: async (count) => {
      await until(() => blocks.length >= count);
      return blocks.splice(0, count);
    },
  };
}

t.test('Server-Sent Events: retry, id, event and data; one upstream when asked', async (t) => {
  const admin = await testAdmin(t);
  const all = await sse(t, admin);
  const some = await sse(t, admin, '?upstream=web');
  admin.operations.emit('config', null);
  const event = admin.operations.emit('live', 'web', { generation: 9 });
  t.same(await all.next(3), [
    'retry: 2000',
    `id: run-1\nevent: config\ndata: ${JSON.stringify({ ...event, id: 'run-1', type: 'config', upstream: null, data: {} })}`,
    `id: run-2\nevent: live\ndata: ${JSON.stringify(event)}`,
  ]);
  t.same(await some.next(2), ['retry: 2000', `id: run-2\nevent: live\ndata: ${JSON.stringify(event)}`]);
  all.end();
  some.end();
  await until(() => admin.operations.listening === 0);
});

t.test('Server-Sent Events go on after Last-Event-ID, and say when some were forgotten', async (t) => {
  const admin = await testAdmin(t);
  for (const type of ['registered', 'admitted', 'live'] as const) admin.operations.emit(type);
  t.match(await (await sse(t, admin, '', { 'last-event-id': 'run-1' })).next(3), ['retry: 2000', /^id: run-2\n/, /^id: run-3\n/]);
  t.match(await (await sse(t, admin, '?lastEventId=run-2')).next(2), ['retry: 2000', /^id: run-3\n/]);
  t.match(await (await sse(t, admin, '', { 'last-event-id': 'other-99' })).next(2), ['retry: 2000', /^event: reset\ndata: .*"type":"reset"/]);
  t.same(await (await sse(t, admin)).next(1), ['retry: 2000'], 'without an id only what is new');
});

async function socketTo(t: Test, { port }: TestAdmin, query = ''): Promise<{ socket: WebSocket; messages: LoggedEvent[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/events${query}`);
  t.teardown(() => socket.terminate());
  const messages: LoggedEvent[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as LoggedEvent));
  await once(socket, 'open');
  return { socket, messages };
}

t.test('a WebSocket gets the same events as JSON messages, and resumes', async (t) => {
  const admin = await testAdmin(t);
  const { socket, messages } = await socketTo(t, admin, '?upstream=web');
  await until(() => admin.operations.listening === 1);
  admin.operations.emit('config', null);
  const event = admin.operations.emit('live', 'web', { generation: 9 });
  await until(() => messages.length === 1);
  t.same(messages, [event]);
  socket.close();
  await until(() => admin.operations.listening === 0);
  const resumed = await socketTo(t, admin, '?lastEventId=run-1');
  await until(() => resumed.messages.length === 1);
  t.equal(resumed.messages[0].id, 'run-2');
  const lost = await socketTo(t, admin, '?lastEventId=gone');
  await until(() => lost.messages.length === 3);
  t.match(lost.messages[0], { type: 'reset' });
});

t.test('a WebSocket client that sends too much is cut off', async (t) => {
  const admin = await testAdmin(t);
  const { socket } = await socketTo(t, admin);
  socket.on('error', () => {});
  socket.send('x'.repeat(5_000));
  const [code] = (await once(socket, 'close')) as [number];
  t.ok(code === 1009 || code === 1006, `closed with ${code}`);
  await until(() => admin.operations.listening === 0);
});

/** A stream of big events to a client that has stopped reading. */
async function flood(admin: TestAdmin, ended: () => boolean): Promise<number> {
  let sent = 0;
  const data = { text: 'x'.repeat(64 * 1024) };
  while (!ended() && sent < 2_000) {
    admin.operations.emit('health', 'web', data);
    sent++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return sent;
}

t.test('a slow SSE consumer is disconnected instead of being buffered for', async (t) => {
  const admin = await testAdmin(t);
  const socket = connect(admin.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => admin.operations.listening === 1);
  const sent = await flood(admin, () => admin.operations.listening === 0);
  t.equal(admin.operations.listening, 0, `disconnected after ${sent} events`);
});

t.test('a slow WebSocket consumer is closed with 1013', async (t) => {
  const admin = await testAdmin(t);
  const { socket } = await socketTo(t, admin);
  await until(() => admin.operations.listening === 1);
  socket.pause();
  const sent = await flood(admin, () => admin.operations.listening === 0);
  t.ok(sent < 2_000, `given up after ${sent} events`);
  const closed = once(socket, 'close');
  socket.resume();
  t.equal((await closed)[0], 1013);
});
