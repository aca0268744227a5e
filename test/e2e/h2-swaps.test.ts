import t from 'tap';
import { connect } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

const SWAPS = 10;
const SESSIONS = 4;
const STREAMS = 8;
/** Every third swap goes by steps. They are not judged: a backend that stands still for a moment is no worse. */
const CANARY = [5, 25, 60].map((weight) => ({ weight, hold: '100ms' }));
const BODY = Buffer.alloc(30_000, 'b');

interface Taken {
  readonly version: string;
  /** '' = it has its whole answer. */
  readonly problem: string;
}

/** One request on a session, and whether its answer was whole. */
function ask(session: ClientHttp2Session, path: string, body: Buffer | null): Promise<Taken> {
  return new Promise((resolve) => {
    const stream = session.request({ ':path': path, ':method': body === null ? 'GET' : 'POST' }, { endStream: body === null });
    let status = 0;
    let version = '';
    let text = '';
    let problem = '';
    stream.on('response', (headers) => {
      status = headers[':status'] ?? 0;
      version = String(headers['x-version']);
    });
    stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    stream.on('error', (error) => (problem = error.message));
    stream.on('close', () => {
      if (status !== 200) problem ||= `status ${status}`;
      else if (stream.rstCode !== 0) problem ||= `reset with ${stream.rstCode}`;
      else if (body !== null && text !== String(body.length)) problem ||= `sent ${body.length} bytes, the backend got ${text}`;
      resolve({ version, problem });
    });
    if (body !== null) stream.end(body);
  });
}

t.test(`${SWAPS} swaps under load over HTTP/2, some by canary, lose no stream`, { timeout: 170_000 }, async (t) => {
  const backends = await Backends.start(t);
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    upstreams: {
      web: {
        routes: [{ host: '*', path: '/' }],
        health: { interval: '200ms', admitInterval: '30ms', rise: 2 },
        versions: { v0: { backends: await backends.listen('v0') } },
        live: 'v0',
      },
    },
  });
  const events = await Events.of(t, proxy.adminUrl);
  const taken: Taken[] = [];
  let running = true;
  const sessions = Array.from({ length: SESSIONS }, () => connect(`http://127.0.0.1:${port}`));
  const streams = sessions.flatMap((session) =>
    Array.from({ length: STREAMS }, async () => {
      while (running) {
        const path = Math.random() < 0.1 ? `/slow?ms=${100 + Math.floor(Math.random() * 200)}` : '/';
        taken.push(await ask(session, path, Math.random() < 0.3 ? BODY.subarray(0, 1 + Math.floor(Math.random() * BODY.length)) : null));
      }
    }),
  );
  await eventually('traffic', () => taken.length > 200);
  const receipts: Receipt[] = [];
  for (let n = 1; n <= SWAPS; n++) {
    const strategy = n % 3 === 0 ? { strategy: { canary: CANARY, analysis: false } } : {};
    const { status } = await proxy.admin('/v1/upstreams/web/swap', { body: { to: `v${n}`, backends: await backends.listen(`v${n}`), ...strategy } });
    t.equal(status, 202);
    await events.wait('released', `v${n - 1}`, 30_000);
    receipts.push(
      await eventually(`the receipt of v${n - 1}`, async () => {
        const answer = await proxy.admin(`/v1/upstreams/web/versions/v${n - 1}/receipt`);
        return answer.status === 200 ? (answer.json as Receipt) : null;
      }),
    );
    const enough = taken.length + SESSIONS * STREAMS;
    await eventually(`traffic on v${n}`, () => taken.length > enough);
  }
  running = false;
  await Promise.all(streams);
  for (const session of sessions) session.close();
  t.comment(`${taken.length} requests`);
  t.strictSame(taken.filter(({ problem }) => problem !== '').slice(0, 3), [], 'no stream has failed');
  t.equal(new Set(taken.map(({ version }) => version)).size, SWAPS + 1, 'every version has answered, and the sessions have stayed');
  for (const { version, counts } of receipts) t.equal(counts.completed, counts.started, `every request to ${version} was completed`);
});
