import t from 'tap';
import { field } from '../helpers/message.ts';
import type { Message, Response } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { echo, Recorder } from './recorder.ts';
import type { Reply } from './recorder.ts';
import { H } from './rows.ts';
import type { ResponseRow } from './rows.ts';
import { bodies, heads, surprises } from './tables/responses.ts';

const backend = await Recorder.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: false, timeouts: { head: '30s', idle: '30s' } }) },
});

/** Answers `/next` with its request line, and everything else with the bytes of the row. */
function replyOf(row: ResponseRow, drip: boolean, client: RawClient, used: (connection: UpstreamConnection) => void): Reply {
  return async (head, connection, whole) => {
    if (head.line.includes('/next')) {
      await echo(head, connection, whole);
      return;
    }
    used(connection);
    if (drip) await connection.drip(row.sends);
    else connection.write(row.sends);
    if (row.later !== undefined) {
      // Not before what is in front of it has gone on: a proxy that was held up would read both in one piece.
      await client.until(() => client.total > 0, 'the answer', undefined, true);
      connection.write(row.later);
    }
    if (row.ends === true) connection.end();
  };
}

const undated = ({ head }: Message): string => head.replace(/\r\nDate: [^\r]+/, '');

function shown(response: Response): { bytes: string; trailers: string[] } {
  return {
    bytes: [...response.interim, response].map(undated).join('') + response.body.toString('latin1'),
    trailers: response.trailers.map(([name, value]) => `${name}: ${value}`),
  };
}

/** Whether these bytes are an answer that begins well and can be seen not to be whole. */
function isCut(all: string, ending: string): boolean {
  const length = /\r\nContent-Length: (\d+)/.exec(all);
  const body = all.slice(all.indexOf('\r\n\r\n') + 4);
  if (!all.startsWith('HTTP/1.1 200 ')) return false;
  if (all.includes('\r\nTransfer-Encoding: chunked')) return !body.endsWith('0\r\n\r\n');
  return length === null ? ending === 'reset' : body.length < Number(length[1]);
}

async function play(row: ResponseRow, drip: boolean): Promise<string[]> {
  const wrong: string[] = [];
  let used: UpstreamConnection | null = null;
  using client = await RawClient.connect(proxy.port);
  backend.reply = replyOf(row, drip, client, (connection) => (used = connection));
  const request = row.request ?? `GET / HTTP/1.1\r\n${H}\r\n`;
  client.write(request);
  if (row.client === 'cut') {
    const all = (await client.takeAll()).toString('latin1');
    return isCut(all, client.ending) ? [] : [`not an answer that is cut (${client.ending}): ${all}`];
  }
  const response = await client.response(request.slice(0, request.indexOf(' ')));
  if ('reason' in row.client) {
    const found = `${response.status} ${/details="([^"]+)"/.exec(field(response, 'proxy-status') ?? '')?.[1]}`;
    if (found !== `${row.client.status} ${row.client.reason}`) wrong.push(`the answer is ${found}`);
  } else {
    const found = shown(response);
    if (found.bytes !== row.client.bytes) wrong.push(`the client has ${found.bytes}`);
    if (String(found.trailers) !== String(row.client.trailers ?? [])) wrong.push(`the trailers are ${found.trailers.join()}`);
  }
  // What comes later, comes while the connection is idle.
  const connection = used as UpstreamConnection | null;
  if (row.later !== undefined || (row.ends === true && !row.reuses)) await connection?.closed();
  if (row.closes === true) await client.closed();
  using other = row.closes === true ? await RawClient.connect(proxy.port) : null;
  const next = await (other ?? client).request({ target: '/next', host: 'a' });
  if (next.body.toString('latin1') !== 'GET /next HTTP/1.1') wrong.push(`the next answer is ${next.line} ${next.body.toString('latin1')}`);
  if (client.pending.length > 0) wrong.push(`more was said: ${client.pending.toString('latin1')}`);
  const again = backend.requests.at(-1)?.connection === connection;
  if (again !== row.reuses) wrong.push(`the backend’s connection is ${again ? '' : 'not '}used again`);
  if (!row.reuses) await connection?.closed().catch(() => wrong.push('the backend’s connection stays open'));
  return wrong;
}

for (const [name, rows] of Object.entries({ heads, bodies, surprises })) {
  t.test(`${name}: ${rows.length} requirements`, async (t) => {
    for (const row of rows) {
      const wrong = await play(row, false).catch((error: unknown) => [String(error)]);
      t.strictSame(wrong, [], `RFC ${row.section}: ${row.must}`);
    }
  });
}

t.test('the same when it comes byte by byte', async (t) => {
  for (const row of [...heads, ...bodies, ...surprises]) {
    if (row.sends.length > 1_000) continue;
    // What is bad behind a good head is found before or after that has been sent, as the bytes come: a 502, or a cut.
    if (row.client !== 'cut' && 'reason' in row.client && row.sends.startsWith('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')) continue;
    // Bytes that come behind a whole answer find its connection idle, or in the hands of the next request.
    if (!row.reuses && row.client !== 'cut' && 'bytes' in row.client && row.ends !== true) continue;
    const wrong = await play(row, true).catch((error: unknown) => [String(error)]);
    t.strictSame(wrong, [], `RFC ${row.section}: ${row.must}, byte by byte`);
  }
});

t.test('an answer without a date gets one, and one with a date keeps it', async (t) => {
  backend.reply = (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  t.match(field(await proxy.send(), 'date'), / GMT$/, 'RFC 9110 §6.6.1');
  backend.reply = (_, connection) => connection.write('HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n');
  t.equal(field(await proxy.send(), 'date'), 'Thu, 01 Jan 1970 00:00:00 GMT');
});
