import t from 'tap';
import { connect } from 'node:net';
import { testAdmin } from '../helpers/admin-server.ts';

async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  // Who sends too much may be cut off once the answer is there.
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  await closed;
  return Buffer.concat(chunks).toString();
}

t.test('a body over 1 MiB is refused, announced or not', async (t) => {
  const { ask, port, operations } = await testAdmin(t);
  const fits = `{"routes":"${'x'.repeat(1024 * 1024 - 13)}"}`;
  t.equal(Buffer.byteLength(fits), 1024 * 1024);
  t.equal((await ask('PUT', '/v1/upstreams/web', fits)).status, 200);
  t.match(await ask('PUT', '/v1/upstreams/web', `${fits} `), { status: 413, json: { code: 'too-large' }, headers: { connection: 'close' } });
  const announced = await raw(port, 'PUT /v1/upstreams/web HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n');
  t.match(announced, /^HTTP\/1\.1 413 .*connection: close/is, 'without waiting for the body');
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  const chunked = await raw(port, `PUT /v1/upstreams/web HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(17)}`);
  t.match(chunked, /^HTTP\/1\.1 413 /);
  t.equal(operations.calls.length, 1);
});

t.test('what is not HTTP is answered with a problem', async (t) => {
  const { port } = await testAdmin(t);
  t.match(await raw(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*application\/problem\+json.*"code":"invalid"/is);
  t.match(await raw(port, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 .*larger than 16 KiB/is);
  t.match(await raw(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'HTTP/1.1 needs a Host');
});

t.test('a body that is not UTF-8 is refused', async (t) => {
  const { port } = await testAdmin(t);
  const socket = connect(port, '127.0.0.1');
  socket.write('PUT /v1/upstreams/web HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\n');
  socket.write(Buffer.from([0x22, 0xff, 0xfe, 0x22]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  t.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 400 .*not UTF-8/is);
});

t.test('an upgrade to anything but a WebSocket is not followed', async (t) => {
  const { port } = await testAdmin(t);
  t.match(await raw(port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n'), /^HTTP\/1\.1 200 /);
});

t.test('close() does not wait for a client that does not read', async (t) => {
  const admin = await testAdmin(t);
  const socket = connect(admin.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  while (admin.operations.listening === 0) await new Promise((resolve) => setImmediate(resolve));
  await admin.close();
  await admin.close();
  t.equal(admin.operations.listening, 0);
});
