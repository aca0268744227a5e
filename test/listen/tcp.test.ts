import t from 'tap';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes, send } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually, undisturbed } from '../helpers/wait.ts';

const LIMIT = 8;
const backend = await RawUpstream.start(t, answer('ok'));
const second = await freePort();
const third = await freePort('::1');
const first = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [
    { host: '127.0.0.1', port: first },
    { host: '127.0.0.1', port: second },
    { host: '::1', port: third },
  ],
  limits: { connections: LIMIT },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

t.test('every listener serves, over IPv4 and IPv6, and says which one it was', async (t) => {
  const seen = backend.requests.length;
  t.equal((await send(first)).status, 200);
  t.equal((await send(second)).status, 200);
  using six = await RawClient.connect(third, { host: '::1' });
  t.equal((await six.request({ host: '[::1]' })).status, 200);
  t.strictSame(
    backend.requests.slice(seen).map((request) => [field(request, 'x-forwarded-for'), field(request, 'x-forwarded-port')]),
    [
      ['127.0.0.1', String(first)],
      ['127.0.0.1', String(second)],
      ['::1', String(third)],
    ],
  );
  t.match(field(backend.requests[backend.requests.length - 1], 'forwarded'), /^for="\[::1\]";proto=http;/);
});

t.test('one connection too many is told so', async (t) => {
  await eventually('none is open', async () => (await open()) === 0);
  const clients = await Promise.all(Array.from({ length: LIMIT }, () => RawClient.connect(first)));
  for (const client of clients) t.equal((await client.request()).status, 200);
  t.equal(await open(), LIMIT);
  let asked = 0;
  for (const port of [first, second]) {
    // Who is held up for longer than the proxy waits for it to hang up gets a reset.
    const { response, ending } = await undisturbed(
      500,
      async () => {
        asked++;
        using late = await RawClient.connect(port);
        late.write(requestBytes());
        return { response: await late.response(), ending: await late.closed() };
      },
      ({ ending: how }) => how === 'end',
    );
    t.equal(response.status, 503);
    t.match(field(response, 'proxy-status'), /error=connection_limit_reached; details="connection-limit"/);
    t.equal(field(response, 'retry-after'), '1');
    t.equal(field(response, 'connection'), 'close');
    t.equal(ending, 'end');
  }
  for (const client of clients) t.equal((await client.request()).status, 200, 'the others are not disturbed');
  clients[0].destroy();
  await eventually('there is room again', async () => (await open()) < LIMIT);
  t.equal((await send(first)).status, 200);
  for (const client of clients) client.destroy();
  await eventually('all are gone', async () => (await open()) === 0);
  t.match(await metrics(), new RegExp(`^switchyard_rejected_requests_total\\{reason="connection-limit"\\} ${asked}$`, 'm'));
});

t.test('a burst of connections is taken whole', async (t) => {
  let served = 0;
  // In rows no longer than the limit, each row dialled at once.
  for (let row = 0; row < 30; row++) {
    const answers = await Promise.all(Array.from({ length: LIMIT }, () => send(first, { fields: [['Connection', 'close']] })));
    served += answers.filter(({ status }) => status === 200).length;
    await eventually('the row is gone', async () => (await open()) === 0);
  }
  t.equal(served, 30 * LIMIT);
});

async function metrics(): Promise<string> {
  return (await proxy.admin('/metrics')).text;
}

/** Client connections that the proxy counts. */
async function open(): Promise<number> {
  return Number(/^switchyard_client_connections (\d+)$/m.exec(await metrics())?.[1]);
}
