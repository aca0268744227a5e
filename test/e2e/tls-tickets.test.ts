import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import type { TicketLife } from '../../src/control/tickets.ts';
import { Authority } from '../helpers/certificates.ts';
import { InProcess } from '../helpers/control.ts';
import { freePort } from '../helpers/ports.ts';
import { eventually } from '../helpers/wait.ts';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const LONG = { every: 3_600_000, overlap: 3_600_000 };
/** So many that every thread is asked. */
const CONNECTIONS = 16;

async function start(t: Test, tickets: TicketLife): Promise<{ port: number; proxy: InProcess }> {
  const [authority, port] = [await Authority.create(t), await freePort()];
  const certificates = [await authority.issue(), await authority.issue({ names: ['other.example'], key: 2048 })].map(({ cert, key }) => ({ cert, key }));
  const proxy = await InProcess.start(t, { listeners: [{ host: '127.0.0.1', port, tls: { certificates } }] }, undefined, { tickets });
  return { port, proxy };
}

/** One connection with a request in it. @returns whether its session was resumed, and the session to come with the next time. */
function visit(port: number, options: ConnectionOptions): Promise<{ resumed: boolean; session: Buffer }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false, ...options });
    let [resumed, session] = [false, options.session ?? Buffer.alloc(0)];
    socket.on('error', reject);
    socket.on('session', (given: Buffer) => (session = given));
    socket.once('secureConnect', () => {
      resumed = socket.isSessionReused();
      session = socket.getSession() ?? session;
      socket.write('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n');
    });
    // Tickets of TLS 1.3 have come before the answer.
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.on('close', () => (answer.startsWith('HTTP/1.1 404') ? resolve({ resumed, session }) : reject(new Error(`no answer: ${answer}`))));
  });
}

async function resumed(port: number, options: ConnectionOptions): Promise<number> {
  let count = 0;
  for (let i = 0; i < CONNECTIONS; i++) if ((await visit(port, options)).resumed) count++;
  return count;
}

for (const version of VERSIONS) {
  t.test(`${version}: a session outlives one change of the key and not two, on every thread; what it was renewed to goes on`, async (t) => {
    const { port, proxy } = await start(t, LONG);
    const { tickets } = proxy.control.certificates;
    const options = { minVersion: version, maxVersion: version };
    const { session: first } = await visit(port, options);
    t.equal(await resumed(port, { ...options, session: first }), CONNECTIONS);

    await tickets.rotate();
    t.equal(await resumed(port, { ...options, session: first }), CONNECTIONS, 'the key of before is still taken');
    const { session: renewed } = await visit(port, { ...options, session: first });
    const { session: second } = await visit(port, options);
    t.equal(await resumed(port, { ...options, session: second }), CONNECTIONS, 'and the new one by all');
    t.equal(await resumed(port, { ...options, session: second, servername: 'other.example' }), 0, 'for its own name alone (RFC 6066 §3)');

    await tickets.rotate();
    t.equal(await resumed(port, { ...options, session: first }), 0, 'two changes later it is not taken, and the client comes in all the same');
    t.equal(await resumed(port, { ...options, session: second }), CONNECTIONS);
    t.equal(await resumed(port, { ...options, session: renewed }), CONNECTIONS, 'who came meanwhile was given a newer one');
    t.equal(proxy.control.snapshot().ticketKeyChanges, 2);
    t.equal(
      proxy.control.snapshot().handshakes.failed.reduce((sum, one) => sum + one),
      0,
    );
  });

  t.test(`${version}: past the overlap only the newest key is taken, by threads that are born later too`, async (t) => {
    const { port, proxy } = await start(t, { ...LONG, overlap: 50 });
    const { tickets } = proxy.control.certificates;
    const options = { minVersion: version, maxVersion: version };
    const { session: old } = await visit(port, options);
    await tickets.rotate();
    await eventually('the end of the overlap', () => tickets.keys.length === 1);
    await eventually('an old session that is not taken', async () => (await resumed(port, { ...options, session: old })) === 0);
    const { session } = await visit(port, options);
    t.equal(await resumed(port, { ...options, session }), CONNECTIONS);
    await proxy.control.threads.end(0);
    await eventually('a new thread', async () => (await resumed(port, { ...options, session }).catch(() => 0)) === CONNECTIONS);
    t.equal(await resumed(port, { ...options, session: old }), 0);
  });
}

t.test('the key changes by itself', async (t) => {
  const { port, proxy } = await start(t, { every: 300, overlap: 50 });
  const { session } = await visit(port, {});
  await eventually('a change', () => proxy.control.snapshot().ticketKeyChanges > 1);
  await eventually('the end of the session', async () => !(await visit(port, { session })).resumed);
});

t.test('clients that come again and again resume through every change of the key', async (t) => {
  const { port, proxy } = await start(t, LONG);
  const { tickets } = proxy.control.certificates;
  const visits = [0, 0, 0, 0];
  const failed: unknown[] = [];
  let [running, lost] = [true, 0];
  const client = async (at: number): Promise<void> => {
    const version = VERSIONS[at % 2];
    const options = { minVersion: version, maxVersion: version };
    let { session } = await visit(port, options);
    while (running) {
      const found = await visit(port, { ...options, session });
      if (!found.resumed) lost++;
      ({ session } = found);
      visits[at]++;
    }
  };
  const all = visits.map((_, at) => client(at).catch((error: unknown) => failed.push(error)));
  for (let change = 0; change < 12; change++) {
    const before = [...visits];
    await eventually('each client to come again', () => failed.length > 0 || visits.every((count, at) => count > before[at] + 1));
    await tickets.rotate();
  }
  running = false;
  await Promise.all(all);
  t.strictSame(failed, []);
  t.equal(lost, 0, `of ${visits.reduce((sum, one) => sum + one)} visits`);
});
