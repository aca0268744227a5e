import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { array, assert, nat, property, tuple } from 'fast-check';
import t from 'tap';
import { readClientHello } from '../../src/http/client-hello.ts';

/** The first bytes that OpenSSL, as Node uses it, sends. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ...options });
  socket.on('error', () => undefined);
  const [peer] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(peer, 'data')) as [Buffer];
  socket.destroy();
  peer.destroy();
  server.close();
  return bytes;
}

t.test('the name and the protocols that a client asks for, in every version', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const versions = { minVersion: version, maxVersion: version };
    t.strictSame(readClientHello(await helloOf({ ...versions, servername: 'A.Example', ALPNProtocols: ['h2', 'http/1.1'] })), {
      serverName: 'a.example',
      protocols: ['h2', 'http/1.1'],
    });
    t.strictSame(readClientHello(await helloOf({ ...versions, servername: 'b.example' })), { serverName: 'b.example', protocols: [] });
    t.strictSame(readClientHello(await helloOf({ ...versions, servername: '', ALPNProtocols: ['acme-tls/1'] })), {
      serverName: null,
      protocols: ['acme-tls/1'],
    });
  }
});

t.test('however it is cut it is the same, and bytes behind it make no difference', async (t) => {
  const hello = await helloOf({ servername: 'a.example', ALPNProtocols: ['acme-tls/1'] });
  const whole = readClientHello(hello);
  for (let to = 0; to < hello.length; to++) if (readClientHello(hello.subarray(0, to)) !== 'more') t.fail(`${to} bytes are not enough`);
  t.strictSame(readClientHello(Buffer.concat([hello, hello])), whole);
});

t.test('what is no ClientHello in one record is for TLS to judge', async (t) => {
  const hello = await helloOf({ servername: 'a.example' });
  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(hello);
    copy[at] = byte;
    return copy;
  };
  for (const [name, bytes] of [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['an alert', changed(0, 21)],
    ['a record past all size', changed(3, 0x41)],
    ['another message', changed(5, 2)],
    ['a message that goes on in another record', changed(7, hello[7] + 1)],
    ['a message that is shorter than its record', changed(8, hello[8] - 1)],
    ['a session id past its end', changed(43, 255)],
  ] as const) {
    t.equal(readClientHello(bytes), 'other', name);
  }
});

t.test('no bytes make it throw, or read past their end', async (t) => {
  const hello = await helloOf({ servername: 'a.example', ALPNProtocols: ['h2', 'acme-tls/1'] });
  assert(
    property(array(tuple(nat(hello.length - 1), nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(hello);
      for (const [at, byte] of changes) bytes[at] = byte;
      const found = readClientHello(bytes);
      if (typeof found === 'string') return ['more', 'other'].includes(found);
      return (found.serverName ?? '').length <= hello.length && found.protocols.every((one) => one.length <= 255);
    }),
    { numRuns: 3_000 },
  );
  t.pass();
});
