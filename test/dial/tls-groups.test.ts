import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import t from 'tap';
import { KEY_GROUPS, keyGroups } from '../../src/dial/tls-groups.ts';
import { TlsClient } from '../../src/dial/tls.ts';
import { Authority } from '../helpers/certificates.ts';

const HYBRID = 'X25519MLKEM768';
const authority = await Authority.create(t);
const { cert, key } = await authority.issue();
const client = new TlsClient({ ca: null, identity: null, minVersion: 'TLSv1.2', servername: 'localhost', verify: false }, 'http1');

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Name of the group that a backend with these has agreed on with us. */
async function agreed(ecdhCurve: string, more: { maxVersion?: 'TLSv1.2' } = {}): Promise<unknown> {
  const port = await listening(createServer({ cert, key, ecdhCurve, ...more }, (socket: TLSSocket) => socket.on('error', () => undefined).end()));
  const socket = client.connect('127.0.0.1', port);
  await once(socket, 'secureConnect');
  const { name } = socket.getEphemeralKeyInfo() as { name?: string };
  socket.destroy();
  return name;
}

t.test('a backend chooses the best that it has', async (t) => {
  t.equal(await agreed(KEY_GROUPS.clients), HYBRID);
  t.equal(await agreed('X25519:prime256v1'), 'X25519');
  t.equal(await agreed('secp384r1'), 'secp384r1');
  t.equal(await agreed(KEY_GROUPS.clients, { maxVersion: 'TLSv1.2' }), 'X25519', 'the new one is of TLS 1.3');
});

/** Numbers of the groups whose shares are in a ClientHello (RFC 8446 §4.2.8). */
function sharesIn(hello: Buffer): number[] {
  let at = 5 + 4 + 2 + 32;
  at += 1 + hello[at];
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello[at] + 2;
  while (hello.readUInt16BE(at) !== 51) at += 4 + hello.readUInt16BE(at + 2);
  const shares: number[] = [];
  const end = at + 4 + hello.readUInt16BE(at + 2);
  for (let share = at + 6; share < end; share += 4 + hello.readUInt16BE(share + 2)) shares.push(hello.readUInt16BE(share));
  return shares;
}

t.test('a backend that does not know the new group need not ask for the share of another', async (t) => {
  const sockets: Socket[] = [];
  const port = await listening(createTcpServer((socket) => void sockets.push(socket)));
  const socket = client.connect('127.0.0.1', port);
  socket.on('error', () => undefined);
  let hello = Buffer.alloc(0);
  while (sockets.length === 0) await new Promise(setImmediate);
  for await (const chunk of sockets[0]) {
    hello = Buffer.concat([hello, chunk as Buffer]);
    if (hello.length >= 5 && hello.length >= 5 + hello.readUInt16BE(3)) break;
  }
  socket.destroy();
  t.strictSame(sharesIn(hello), [0x11ec, 0x001d]);
});

t.test('an OpenSSL without it', (t) => {
  const older = keyGroups((groups) => !groups.includes(HYBRID));
  t.strictSame(older, { clients: 'X25519:prime256v1:secp384r1', backends: 'X25519:prime256v1:secp384r1' });
  t.equal(keyGroups(), KEY_GROUPS);
  t.end();
});
