import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { demoService } from '../../src/config/define.ts';
import { freePorts } from '../helpers/ports.ts';
import { eventually } from '../helpers/wait.ts';

const host = '127.0.0.1';
const LATE = 60_000;

/** Whether anyone listens there. */
async function answers(port: number): Promise<boolean> {
  return fetch(`http://${host}:${port}/healthz`).then(
    (response) => response.ok,
    () => false,
  );
}

/** The service as it is launched. */
async function start(t: Test, version: string, port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [demoService], { env: { PORT: String(port), SWITCHYARD_VERSION: version }, stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await eventually(`${version} to listen`, () => answers(port), LATE, 20);
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

t.test('the service', async (t) => {
  const [one, other] = await freePorts(2);
  const [first] = await Promise.all([start(t, 'v1', one), start(t, 'v<2>', other)]);
  const url = `http://${host}:${one}`;

  await t.test('says which version and backend answered', async (t) => {
    t.strictSame(await (await fetch(`${url}/api`)).json(), { version: 'v1', backend: `${host}:${one}`, count: 1 });
    t.match(await (await fetch(`${url}/api`)).json(), { count: 2 });
    t.match(await (await fetch(`http://${host}:${other}/api`)).json(), { version: 'v<2>', backend: `${host}:${other}`, count: 1 });
  });

  await t.test('shows it on a page, with a colour per version and nothing unescaped', async (t) => {
    const [first, second] = await Promise.all([one, other].map(async (port) => (await fetch(`http://${host}:${port}/`)).text()));
    t.match(first, '<h1 class="version">v1</h1>');
    t.match(second, '<h1 class="version">v&lt;2&gt;</h1>');
    t.notMatch(second, 'v<2>');
    t.not(/--hue: \d+/.exec(first)?.[0], /--hue: \d+/.exec(second)?.[0]);
  });

  await t.test('counts an upload, waits when asked, has a health check and a 404', async (t) => {
    t.match(await (await fetch(`${url}/upload`, { method: 'POST', body: 'x'.repeat(100_000) })).json(), { bytes: 100_000 });
    t.match(await (await fetch(`${url}/slow?ms=20`)).json(), { waitedMs: 20 });
    t.equal(await (await fetch(`${url}/healthz`)).text(), 'ok\n');
    t.equal((await fetch(`${url}/nothing`)).status, 404);
  });

  await t.test('sends events and echoes WebSocket messages', async (t) => {
    const controller = new AbortController();
    const events = await fetch(`${url}/events`, { signal: controller.signal });
    const chunk = (await events.body?.getReader().read()) as { value: Uint8Array } | undefined;
    t.match(Buffer.from(chunk?.value ?? []).toString(), /^event: tick\ndata: \{"version":"v1",/);
    controller.abort();
    const socket = new WebSocket(`ws://${host}:${one}/ws`);
    const [greeting] = (await once(socket, 'message')) as [Buffer];
    t.match(JSON.parse(String(greeting)), { version: 'v1' });
    socket.send('hello');
    const [echo] = (await once(socket, 'message')) as [Buffer];
    t.equal(String(echo), 'hello');
    const closed = once(socket, 'close');
    await stop(first);
    t.equal((await closed)[0], 1001, 'told to go away when the service ends');
  });

  t.notOk(await answers(one), 'nobody listens after stop');
});

t.test('a slow answer is finished before the service ends', async (t) => {
  const [port] = await freePorts(1);
  const child = await start(t, 'v1', port);
  const slow = fetch(`http://${host}:${port}/slow?ms=1000`);
  let own = 0;
  await eventually('the request has arrived', async () => {
    own++;
    return ((await (await fetch(`http://${host}:${port}/api`)).json()) as { count: number }).count > own;
  });
  await stop(child);
  t.match(await (await slow).json(), { waitedMs: 1000 });
});
