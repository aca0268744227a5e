import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import t from 'tap';
import { Agent, fetch as undiciFetch } from 'undici';
import { Authority } from '../helpers/certificates.ts';
import { ECHO, grpcServer } from '../helpers/grpc.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { answer, RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const run = promisify(execFile);

const authority = await Authority.create(t);
const [one, two] = [await authority.issue({ subject: '/CN=one' }), await authority.issue({ names: ['two.example'], subject: '/CN=two' })];
const backend = await RawUpstream.start(t, answer('fine'));
const calls = await grpcServer(t, [
  [ECHO, { Unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, Buffer.from(`echo ${call.request.toString()}`)) }],
]);
const [secure, plain] = [await freePort(), await freePort()];
const certificates = [one, two].map(({ certFile, keyFile }) => ({ cert: certFile, key: keyFile }));
const proxy = await Proxy.start(t, {
  listeners: [
    { host: '127.0.0.1', port: secure, tls: { certificates } },
    { host: '127.0.0.1', port: plain, http2: true },
  ],
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1'),
    calls: catchAll({ v1: [calls] }, 'v1', { routes: [{ path: '/test.Echo' }], protocol: 'h2' }),
  },
});
const URL_OF = `https://localhost:${secure}/`;

t.test('curl: HTTP/2 without TLS, known beforehand; many requests over one connection', async (t) => {
  const asked = ['-sS', '-m', '60', '-w', ' %{http_version} %{num_connects}\n', `http://127.0.0.1:${plain}/`];
  t.equal((await run('curl', ['--http2-prior-knowledge', ...asked])).stdout, 'fine 2 1\n');
  t.equal((await run('curl', ['--http1.1', ...asked])).stdout, 'fine 1.1 1\n', 'beside HTTP/1.1');
  const all = await run('curl', ['-sS', '-m', '60', '--http2', '--cacert', authority.certFile, '-w', ' %{http_version} %{num_connects}\n', `${URL_OF}[1-20]`]);
  t.equal(all.stdout, `fine 2 1\n${'fine 2 0\n'.repeat(19)}`);
});

/** What `openssl s_client` has to say of a handshake; its standard input ends at once. */
async function handshake(...args: string[]): Promise<string> {
  const asked = run('openssl', ['s_client', '-connect', `127.0.0.1:${secure}`, '-servername', 'localhost', '-CAfile', authority.certFile, ...args]);
  asked.child.stdin!.end();
  // It is 1 when the handshake has failed.
  return asked.then(({ stdout, stderr }) => stdout + stderr).catch((error: { stdout: string; stderr: string }) => error.stdout + error.stderr);
}

t.test('openssl s_client: names, versions, protocols', async (t) => {
  t.match(await handshake(), /subject=CN = one[^]*Verify return code: 0 \(ok\)/);
  t.match(await handshake('-servername', 'two.example'), 'subject=CN = two');
  t.match(await handshake('-tls1_2', '-alpn', 'h2,http/1.1'), /New, TLSv1\.2, Cipher is ECDHE-ECDSA-[^]*ALPN protocol: h2/);
  t.match(await handshake('-tls1_3', '-alpn', 'http/1.1'), /New, TLSv1\.3, Cipher is TLS_[^]*ALPN protocol: http\/1\.1/);
  t.match(await handshake('-tls1_3'), 'No ALPN negotiated');
  t.match(await handshake('-alpn', 'spdy/3'), /alert no application protocol/);
  t.match(await handshake('-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0'), /alert protocol version|no protocols available/);
});

t.test('openssl s_client: a session is resumed, in both versions', async (t) => {
  for (const [version, name] of [
    ['-tls1_2', 'TLSv1.2'],
    ['-tls1_3', 'TLSv1.3'],
  ]) {
    const file = join(authority.dir, `${name}.session`);
    const first = run('openssl', ['s_client', '-connect', `127.0.0.1:${secure}`, '-servername', 'localhost', version, '-ign_eof', '-sess_out', file]);
    // Tickets of TLS 1.3 come behind the handshake: by the end of an answer they have come.
    first.child.stdin!.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    t.match((await first).stdout, new RegExp(`New, ${name}`));
    t.match(await handshake(version, '-sess_in', file), new RegExp(`Reused, ${name}`), version);
  }
});

t.test('h2load: thousands of streams over TLS and without, and nothing fails', async (t) => {
  for (const url of [`https://127.0.0.1:${secure}/`, `http://127.0.0.1:${plain}/`]) {
    const { stdout } = await run('h2load', ['-n', '2000', '-c', '8', '-m', '16', '-T', '30', url]);
    t.match(stdout, 'requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout', url);
    t.match(stdout, '2000 2xx');
  }
});

t.test('undici over HTTP/2', async (t) => {
  const agent = new Agent({ allowH2: true, connect: { ca: authority.cert } });
  t.teardown(() => agent.destroy());
  const before = await over2();
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => undiciFetch(`${URL_OF}${i}`, { dispatcher: agent, method: 'POST', body: 'x'.repeat(50_000) })),
  );
  t.strictSame(
    await Promise.all(answers.map((one) => one.text())),
    Array.from({ length: 20 }, () => 'fine'),
  );
  await eventually('the counts', async () => (await over2()) >= before + 20);
  t.equal((await over2()) - before, 20);
});

async function over2(): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  return Number(/^switchyard_client_requests_total\{protocol="HTTP\/2"\} (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}

t.test('@grpc/grpc-js over TLS', async (t) => {
  const client = new Client(`localhost:${secure}`, credentials.createSsl(Buffer.from(authority.cert)));
  t.teardown(() => client.close());
  const same = (bytes: Buffer): Buffer => bytes;
  const call = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest('/test.Echo/Unary', same, same, Buffer.from(text), { deadline: Date.now() + 60_000 }, (error, value) =>
        error === null ? resolve(String(value)) : reject(error),
      );
    });
  t.strictSame(await Promise.all(['a', 'b', 'c'].map(call)), ['echo a', 'echo b', 'echo c']);
});
