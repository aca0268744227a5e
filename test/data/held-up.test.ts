import t from 'tap';
import type { Test } from 'tap';
import { FLAG, FRAME, RawH2Backend, frame, headers, type H2Peer } from '../helpers/h2_backend.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { whileStopped } from '../helpers/still.ts';
import { eventually, sleep } from '../helpers/wait.ts';

/** All deadlines of the proxy, in ms. It stands still for longer than any of them. */
const SHORT = 1_000;
const HELD_UP_MS = 1_600;
const ROUNDS = 3;
/** How long a proxy that ends waits for one more request on a kept connection. */
const IDLE_MS = 1_000;
/** A request that is given up unanswered after so long is a reason to ask its HTTP/2 connection whether anybody is there, who has so long to answer. */
const SILENT_MS = 1_000;
const PING_MS = 5_000;

const backend = await RawUpstream.start(t);

/** Stops the proxy, lets `run` say what is to be found afterwards, and has it go on when every deadline is over. */
function heldUp({ process: { pid } }: Proxy, run: () => unknown, millis = HELD_UP_MS): Promise<void> {
  return whileStopped(pid, async () => {
    run();
    await sleep(millis);
  });
}

t.test('a proxy that was held up reads what came in time before it says that it came too late', async (t) => {
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    timeouts: { body: SHORT, keepAlive: SHORT, clientHead: SHORT },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, timeouts: { head: SHORT, idle: SHORT } }) },
  });
  for (let round = 0; round < ROUNDS; round++) {
    backend.use(async (request, connection) => connection.respond(200, await request.body), `/upload/${round}`);
    backend.use(() => 'taken', `/head/${round}`);
    backend.use((_, connection) => {
      connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf');
      return 'taken';
    }, `/body/${round}`);
    const [upload, head, body, idle, next] = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(proxy.port)));
    t.equal((await idle.request()).status, 200);
    upload.write(requestBytes({ method: 'POST', target: `/upload/${round}`, fields: [['Content-Length', '8']], body: 'half' }));
    head.write(requestBytes({ target: `/head/${round}` }));
    body.write(requestBytes({ target: `/body/${round}` }));
    await body.takeUntil('half');
    const [one, two] = await Promise.all([`/head/${round}`, `/body/${round}`, `/upload/${round}`].map((target) => backend.requestTo(target)));
    next.write('GET / HTTP/1.1\r\n');
    await heldUp(proxy, () => {
      upload.write('more');
      one.connection.respond(200, 'at last', [['Connection', 'close']]);
      two.connection.write('more');
      idle.write(requestBytes());
      next.write('Host: a\r\n\r\n');
    });
    t.equal((await upload.response('POST')).body.toString(), 'halfmore', 'the rest of a request');
    t.equal((await head.response()).body.toString(), 'at last', 'an answer');
    t.equal((await body.take(4)).toString(), 'more', 'the rest of an answer');
    t.equal((await idle.response()).status, 200, 'the next request of a kept connection');
    t.equal((await next.response()).status, 200, 'the rest of a head');
    for (const client of [upload, head, body, idle, next]) client.destroy();
  }
});

/** A proxy that has begun to end, and a kept connection on which it has waited for a request for a moment only; null = not in time. */
async function ending(t: Test): Promise<{ proxy: Proxy; kept: RawClient; stays: RawClient } | null> {
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    shutdown: { drain: '1m' },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
  });
  const target = `/stays/${proxy.port}`;
  backend.use(() => 'taken', target);
  const stays = await RawClient.connect(proxy.port);
  stays.write(requestBytes({ target }));
  await backend.requestTo(target);
  const kept = await RawClient.connect(proxy.port);
  t.equal((await kept.request()).status, 200);
  const asked = performance.now();
  proxy.process.child.kill('SIGTERM');
  await eventually('it ends', () => /draining/.test(proxy.process.stderr));
  return performance.now() - asked < IDLE_MS / 2 ? { proxy, kept, stays } : null;
}

t.test('one that is held up while it ends does not take for idle whom it could not hear', async (t) => {
  let found = await ending(t);
  for (let tried = 0; found === null && tried < 5; tried++) found = await ending(t);
  const { proxy, kept, stays } = found!;
  await heldUp(proxy, () => kept.write(requestBytes()));
  t.equal((await kept.response()).status, 200);
  (await backend.requestTo(`/stays/${proxy.port}`)).connection.respond(200, 'the end');
  t.equal((await stays.response()).body.toString(), 'the end');
  kept.destroy();
  t.strictSame(await proxy.process.wait(), { code: 0, signal: null });
});

/** A PING that an HTTP/2 backend has just got, because a request was given up; `stays` waits for its answer on the same connection. null = not in time. */
async function asked(t: Test): Promise<{ proxy: Proxy; peer: H2Peer; stays: RawClient } | null> {
  const silent = await RawH2Backend.start(t, () => undefined);
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    upstreams: { web: catchAll({ v1: [silent.address] }, 'v1', { protocol: 'h2', health: { kind: 'none' }, retries: { attempts: 0 } }) },
  });
  const [stays, leaves] = [await RawClient.connect(proxy.port), await RawClient.connect(proxy.port)];
  for (const [i, client] of [stays, leaves].entries()) {
    client.write(requestBytes());
    await eventually('the request', () => silent.requests === i + 1);
  }
  await sleep(SILENT_MS + 100);
  const left = performance.now();
  leaves.destroy();
  const pinged = (): H2Peer | undefined => silent.peers.find(({ frames }) => frames.some(({ type, flags }) => type === FRAME.ping && (flags & FLAG.ack) === 0));
  await eventually('the PING', () => pinged() !== undefined);
  return performance.now() - left < PING_MS / 2 ? { proxy, peer: pinged()!, stays } : null;
}

t.test('one that is held up while a connection is asked whether anybody is there hears that there is', async (t) => {
  let found = await asked(t);
  for (let tried = 0; found === null && tried < 5; tried++) found = await asked(t);
  const { proxy, peer, stays } = found!;
  const ping = peer.frames.find(({ type }) => type === FRAME.ping)!;
  const { stream } = peer.frames.find(({ type }) => type === FRAME.headers)!;
  await heldUp(proxy, () => peer.write(frame(FRAME.ping, FLAG.ack, 0, ping.payload)), PING_MS);
  peer.write(headers(stream, [[':status', '204']], FLAG.endStream));
  t.equal((await stays.response()).status, 204);
  stays.destroy();
});
