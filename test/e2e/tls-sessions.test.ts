import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import type { Test } from 'tap';
import { Authority } from '../helpers/certificates.ts';
import type { Pair } from '../helpers/certificates.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { TlsClient } from '../helpers/tls_client.ts';

const run = promisify(execFile);
const CONNECTIONS = 40;

async function start(t: Test): Promise<{ port: number; authority: Authority; pair: Pair; proxy: Proxy }> {
  const authority = await Authority.create(t);
  const pair = await authority.issue();
  const port = await freePort();
  const tls = { certificates: [{ cert: pair.certFile, key: pair.keyFile }] };
  return { port, authority, pair, proxy: await Proxy.start(t, { listeners: [{ host: '127.0.0.1', port, tls }], upstreams: {} }) };
}

/** A session as the client keeps it after its first connection. */
function firstSession(port: number, options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false, ...options });
    socket.on('error', reject);
    socket.once('session', (session: Buffer) => {
      socket.destroy();
      resolve(session);
    });
  });
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`a session of ${version} is resumed on whatever thread its client comes to`, async (t) => {
    const { port, proxy } = await start(t);
    const options = { minVersion: version, maxVersion: version } as const;
    const session = await firstSession(port, options);
    let resumed = 0;
    for (let i = 0; i < CONNECTIONS; i++) {
      using client = await TlsClient.connect(port, { ...options, session });
      if (client.tls.isSessionReused() && (await client.request()).status === 404) resumed++;
    }
    t.equal(resumed, CONNECTIONS);
    const counted = async (): Promise<(string | undefined)[]> => {
      const { text } = await proxy.admin('/metrics');
      const series = ['handshakes_total\\{result="resumed",reason=""', `protocol_total\\{version="${version.replace('.', '\\.')}"`];
      return series.map((name) => new RegExp(`^switchyard_tls_${name}\\} (\\d+)$`, 'm').exec(text)?.[1]);
    };
    t.strictSame(await counted(), [String(CONNECTIONS), String(CONNECTIONS + 1)]);
  });
}

t.test('openssl s_client resumes its session, also after the certificate was replaced', async (t) => {
  const { port, authority, pair, proxy } = await start(t);
  const file = join(await tempDir(t), 'session');
  const client = async (...args: string[]): Promise<string> => {
    const asked = run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-CAfile', authority.certFile, '-tls1_2', ...args]);
    asked.child.stdin!.end('Q\n');
    return (await asked).stdout;
  };
  t.match(await client('-sess_out', file), /New, TLSv1\.2[^]*Verify return code: 0 \(ok\)/);
  t.match(await readFile(file, 'latin1'), /BEGIN SSL SESSION/);
  const other = await authority.issue();
  await copyFile(other.certFile, pair.certFile);
  await copyFile(other.keyFile, pair.keyFile);
  t.match((await proxy.admin('/v1/certificates/reload', { method: 'POST' })).status, 200);
  t.match((await proxy.admin('/v1/certificates')).json, [{ fingerprint: new X509Certificate(other.cert).fingerprint256 }]);
  for (let i = 0; i < 6; i++) t.match(await client('-sess_in', file), /Reused, TLSv1\.2/);
});
