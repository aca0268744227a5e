import t, { type Test } from 'tap';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { Script } from '../helpers/raw_upstream.ts';
import { sleep, undisturbed } from '../helpers/wait.ts';

const BODY_MS = 1_000;
/** Who is held up for longer is slow himself. */
const STEADY_MS = 400;
const HEAD_MS = 4_000;
const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  timeouts: { body: BODY_MS },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: false, timeouts: { head: HEAD_MS } }) },
});

const EXPECTING = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

async function asked<T>(script: Script, run: (client: RawClient) => Promise<T>): Promise<T> {
  backend.use(script);
  using client = await RawClient.connect(proxy.port);
  client.write(EXPECTING);
  return await run(client);
}

async function failsWith(t: Test, client: RawClient, status: number, reason: string): Promise<void> {
  const response = await client.response();
  t.equal(response.status, status, `RFC 9110 §10.1.1: ${reason}`);
  t.match(field(response, 'proxy-status'), new RegExp(`details="${reason}"`));
}

t.test('a client that waits for a 100 may wait longer than a body may: the backend is slow, not the client', async (t) => {
  const late: Script = async (request, connection) => {
    await sleep(BODY_MS * 1.5);
    connection.write(CONTINUE);
    await request.body;
    connection.respond(200, 'ok');
  };
  const found = await undisturbed(
    STEADY_MS,
    () =>
      asked(late, async (client) => {
        const first = await client.takeUntil('\r\n\r\n');
        client.write('body');
        const { status } = await client.response();
        backend.use(answer('ok'));
        return [first, status, (await client.request({ target: '/' })).status];
      }),
    ([, status]) => status === 200,
  );
  t.strictSame(found, [CONTINUE, 200, 200], 'and the connection stays');
});

t.test('nor is it blamed by the rate that its body must have', async (t) => {
  backend.use(async (request, connection) => {
    await sleep(BODY_MS * 1.5);
    connection.write(CONTINUE);
    await request.body;
    connection.respond(200, 'ok');
  });
  const paced = await Proxy.start(t, {
    dataThreads: 1,
    timeouts: { body: BODY_MS },
    limits: { bodyRate: 1_000 },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: false, timeouts: { head: HEAD_MS } }) },
  });
  const found = await undisturbed(
    STEADY_MS,
    async () => {
      using client = await RawClient.connect(paced.port);
      client.write(EXPECTING);
      const first = await client.takeUntil('\r\n\r\n');
      // Some ticks of the wheel, in which who were blamed would be told so.
      await sleep(BODY_MS / 4);
      client.write('body');
      return [first, (await client.response('POST')).status];
    },
    ([, status]) => status === 200,
  );
  t.strictSame(found, [CONTINUE, 200]);
});

t.test('a backend that never says it is too slow', async (t) => {
  await asked(
    (_, connection) => connection.closed(),
    (client) => failsWith(t, client, 504, 'response-timeout'),
  );
});

t.test('other interim answers do not let the client begin', async (t) => {
  const interim: Script = async (_, connection) => {
    connection.write('HTTP/1.1 102 Processing\r\n\r\n');
    await sleep(BODY_MS * 1.5);
    connection.respond(200, 'ok');
  };
  const response = await undisturbed(
    STEADY_MS,
    () => asked(interim, (client) => client.response()),
    ({ status }) => status === 200,
  );
  t.equal(response.status, 200, 'the answer came without the body');
  t.equal(field(response, 'connection'), 'close', 'so the connection ends');
});

t.test('once it was let, the clock is the client’s', async (t) => {
  await asked(
    (request, connection) => {
      connection.write(CONTINUE);
      return request.body;
    },
    async (client) => {
      await client.takeUntil('\r\n\r\n');
      await failsWith(t, client, 408, 'body-timeout');
    },
  );
});

t.test('and when it has not waited', async (t) => {
  await asked(
    (request) => request.body,
    async (client) => {
      client.write('bo');
      await failsWith(t, client, 408, 'body-timeout');
    },
  );
});
