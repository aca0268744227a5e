import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { startDemo } from '../../src/demo/launch.ts';
import { Refusal } from '../../src/errors/catalogue.ts';
import { freePorts } from '../helpers/ports.ts';
import { eventually } from '../helpers/wait.ts';

const host = '127.0.0.1';

/** Whether anyone listens there. */
async function answers(port: number): Promise<boolean> {
  return fetch(`http://${host}:${port}/healthz`).then(
    (response) => response.ok,
    () => false,
  );
}

t.test('the service', async (t) => {
  const [one, two, other] = await freePorts(3);
  const demo = await startDemo(
    [
      { version: 'v1', ports: [one, two] },
      { version: 'v<2>', ports: [other] },
    ],
    { host },
  );
  t.teardown(() => demo.stop());
  const url = `http://${host}:${one}`;

  await t.test('says which version and backend answered', async (t) => {
    t.strictSame(await (await fetch(`${url}/api`)).json(), { version: 'v1', backend: `${host}:${one}`, count: 1 });
    t.match(await (await fetch(`${url}/api`)).json(), { count: 2 });
    t.match(await (await fetch(`http://${host}:${two}/api`)).json(), { version: 'v1', backend: `${host}:${two}`, count: 1 });
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
    await demo.stop();
    t.equal((await closed)[0], 1001, 'told to go away when the service ends');
  });

  t.notOk(await answers(one), 'nobody listens after stop');
  t.notOk(await answers(other));
  await demo.stop();
});

t.test('a slow answer is finished before the service ends', async (t) => {
  const [port] = await freePorts(1);
  const demo = await startDemo([{ version: 'v1', ports: [port] }], { host });
  const slow = fetch(`http://${host}:${port}/slow?ms=1000`);
  let own = 0;
  await eventually('the request has arrived', async () => {
    own++;
    return ((await (await fetch(`http://${host}:${port}/api`)).json()) as { count: number }).count > own;
  });
  await demo.stop();
  t.match(await (await slow).json(), { waitedMs: 1000 });
});

t.test('a port in use is named, and nothing is left running', async (t) => {
  const [free, taken] = await freePorts(2);
  const server = createServer().listen(taken, host);
  await once(server, 'listening');
  t.teardown(() => server.close());
  await t.rejects(
    startDemo(
      [
        { version: 'v1', ports: [free] },
        { version: 'v2', ports: [taken] },
      ],
      { host },
    ),
    {
      message: `The demo version v2 could not be started: port ${taken} of ${host} is in use.`,
    },
  );
  t.notOk(await answers(free));
  await startDemo([{ version: 'v2', ports: [taken] }], { host }).catch((error: unknown) => t.type(error, Refusal));
});

t.test('the service ends with its parent, even when that is killed', async (t) => {
  const [port] = await freePorts(1);
  const launch = new URL('../../src/demo/launch.ts', import.meta.url).href;
  const script = `const { startDemo } = await import(${JSON.stringify(launch)}); await startDemo([{ version: 'v1', ports: [${port}] }], { host: '${host}' }); setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
  t.teardown(() => parent.kill('SIGKILL'));
  await eventually('the demo is up', () => answers(port), 60_000, 50);
  parent.kill('SIGKILL');
  await eventually('the demo is gone', async () => !(await answers(port)), 30_000, 50);
});
