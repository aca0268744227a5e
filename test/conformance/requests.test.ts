import t from 'tap';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';
import { Recorder, withoutOwn } from './recorder.ts';
import type { RequestRow } from './rows.ts';
import { chunks } from './tables/chunks.ts';
import { fields } from './tables/fields.ts';
import { framing } from './tables/framing.ts';
import { connections, hops, semantics } from './tables/messages.ts';
import { target } from './tables/target.ts';

const backend = await Recorder.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, retries: { attempts: 0 } }) },
});

const TABLES = { framing, chunks, fields, target, hops, semantics, connections };

const expected = (bytes: string): string => bytes.replace('LOCAL', `127.0.0.1:${proxy.port}`);
const methodsOf = (row: RequestRow): string[] => (row.send.startsWith('HEAD ') ? ['HEAD'] : []);

/** Sends a row, takes its answers, and asks once more on the same connection. @returns what was not as it should be. */
async function play(row: RequestRow, send: (client: RawClient) => Promise<void>): Promise<string[]> {
  const wrong: string[] = [];
  using client = await RawClient.connect(proxy.port);
  const sent = send(client);
  let reason: string | null = null;
  const statuses: number[] = [];
  for (let i = 0; i < row.answers.length; i++) {
    const response = await client.response(methodsOf(row)[i]);
    statuses.push(response.status);
    reason = /details="([^"]+)"/.exec(field(response, 'proxy-status') ?? '')?.[1] ?? null;
    const says = /\bclose\b/.test(field(response, 'connection') ?? '');
    if (says !== (row.closes && i === row.answers.length - 1)) wrong.push(`answer ${i} says ${says ? '' : 'not '}that the connection closes`);
  }
  if (String(statuses) !== String(row.answers)) wrong.push(`the answers are ${statuses.join()}`);
  if (row.reason !== undefined && reason !== row.reason) wrong.push(`the reason is ${reason}`);
  if (row.closes) await client.closed();
  else {
    await sent;
    const next = await client.request({ target: '/next' });
    if (next.body.toString('latin1') !== 'GET /next HTTP/1.1') wrong.push(`the next answer is ${next.line} ${next.body.toString('latin1')}`);
  }
  await sent;
  if (client.pending.length > 0) wrong.push(`more was said: ${client.pending.toString('latin1')}`);
  return wrong;
}

for (const [name, rows] of Object.entries(TABLES)) {
  t.test(`${name}: ${rows.length} requirements`, async (t) => {
    for (const row of rows) {
      const before = { requests: backend.requests.length, connections: backend.connections.length };
      const wrong = await play(row, async (client) => client.write(row.send)).catch((error: unknown) => [String(error)]);
      const count = before.requests + row.forwards.length + (row.closes ? 0 : 1);
      await eventually('what was answered is recorded', () => backend.requests.length >= count).catch(() => wrong.push('requests are missing'));
      // A request that was begun and refused is cut off: no more of it comes than was there at once.
      await eventually('nothing is begun and left', () => backend.rest() === '').catch(() => wrong.push(`the backend still waits on ${backend.rest()}`));
      const seen = backend.requests.slice(before.requests).filter(({ line }) => line !== 'GET /next HTTP/1.1');
      t.strictSame(wrong, [], `RFC ${row.section}: ${row.must}`);
      t.strictSame(seen.map(withoutOwn), row.forwards.map(expected), `${row.section}: ${row.must}: at the backend`);
    }
  });
}

t.test('the same when it comes byte by byte', async (t) => {
  const rows = Object.values(TABLES)
    .flat()
    .filter(({ send, whole }) => whole !== true && send.length < 2_000);
  const before = backend.requests.length;
  const next = rows.values();
  const lane = async (): Promise<void> => {
    for (const row of next) {
      const wrong = await play(row, async (client) => {
        // A backend that answers early ends the connection while bytes are still on their way: that is no fault here.
        await Promise.race([client.drip(row.send), client.closed(60_000)]);
      }).catch((error: unknown) => [String(error)]);
      t.strictSame(wrong, [], `RFC ${row.section}: ${row.must}, byte by byte`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  const count = (of: (row: RequestRow) => number): number => rows.reduce((sum, row) => sum + of(row), 0);
  const seen = backend.requests.slice(before);
  t.equal(
    seen.length,
    count((row) => row.forwards.length + (row.closes ? 0 : 1)),
    'and as many requests reach the backend',
  );
  t.strictSame(
    seen.filter(({ line }) => line.includes('smuggled')),
    [],
    'none of them smuggled',
  );
});

t.test('what the proxy says of a client', async (t) => {
  const own = async (bytes: string): Promise<Map<string, string>> => {
    const before = backend.requests.length;
    using client = await RawClient.connect(proxy.port);
    client.write(bytes);
    await client.response();
    return new Map(backend.requests[before].fields.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
  };
  const found = await own('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  t.equal(found.get('x-forwarded-for'), '127.0.0.1');
  t.equal(found.get('x-forwarded-proto'), 'http');
  t.equal(found.get('x-forwarded-host'), 'a');
  t.equal(found.get('x-forwarded-port'), String(proxy.port));
  t.equal(found.get('forwarded'), 'for=127.0.0.1;proto=http;host="a"');
  t.equal(found.get('via'), '1.1 switchyard', 'RFC 9110 §7.6.3');
  t.match(found.get('x-request-id'), /^[0-9a-f]{32}$/);
  t.match(found.get('traceparent'), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  const again = await own('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  t.not(again.get('x-request-id'), found.get('x-request-id'), 'each request has an id of its own');
  t.equal(again.get('via'), '1.0 switchyard', 'RFC 9110 §7.6.3: by the version of the request as it came');
});
