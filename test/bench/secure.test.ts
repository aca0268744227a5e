import t from 'tap';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureServer } from 'node:http2';
import type { SecureServerOptions } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { AGREED, ask } from '../../bench/ask.ts';
import { newCertificate } from '../../bench/certificate.ts';
import { fromSTime } from '../../bench/outside-loads.ts';
import type { Row } from '../../bench/report.ts';
import { SCENARIOS } from '../../bench/scenarios.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';
import type { Teardown } from '../helpers/temp.ts';

async function serve(t: Teardown, options: SecureServerOptions = {}): Promise<number> {
  const { cert, key } = await newCertificate(await tempDir(t));
  const server = createSecureServer({ allowHTTP1: true, cert: readFileSync(cert), key: readFileSync(key), ...options }, (_request, response) => {
    response.end('four');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

t.test('what subjects agree on with a client is told, before they are measured', async (t) => {
  const [small] = SCENARIOS;
  const port = await serve(t);
  t.same(await ask(port, { ...small, speaks: 'tls' }), { status: 200, bytes: 4, agreed: `${AGREED}, http/1.1` });
  t.same(await ask(port, { ...small, speaks: 'h2' }), { status: 200, bytes: 4, agreed: `${AGREED}, h2` });
  const other = await serve(t, { honorCipherOrder: true, ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384' });
  t.match(await ask(other, { ...small, speaks: 'tls' }), { agreed: /^TLSv1\.3, TLS_AES_128_GCM_SHA256, / });
  await t.rejects(ask(await serve(t, { maxVersion: 'TLSv1.2' }), { ...small, speaks: 'tls' }));
  await t.rejects(ask(port, small));
});

t.test('of a session that was not resumed, and of an answer that was not there, s_time says so', async (t) => {
  const told = (marks: string, bytes: number): string =>
    `Now timing with session id reuse.\nstarting\n${marks}\n\n4 connections in 0.20s; 20.00 connections/user sec, bytes read 1\n4 connections in 3 real seconds, ${bytes} bytes read per connection\n`;
  t.same(fromSTime(told('rrrr', 156), 13), { requests: 4, failed: 0 });
  t.same(fromSTime(told('rr*r', 156), 13), { requests: 4, failed: 1 });
  t.same(fromSTime(told('rrrr', 0), 13), { requests: 4, failed: 4 });
  t.same(fromSTime('Collecting connection statistics for 1 seconds\n', 13), { requests: 0, failed: 0 });
});

t.test('a round over TLS gives figures', async (t) => {
  const json = join(await tempDir(t), 'figures.json');
  const pace = ['--rounds', '1', '--seconds', '0.2', '--json', json];
  const run = new NodeProcess([join(ROOT, 'bench', 'run.ts'), '--quick', ...pace, '--subject', 'undici', '--scenario', 'tls']);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const { rows } = JSON.parse(await readFile(json, 'utf8')) as { rows: Row[] };
  t.match(rows, [{ subject: 'undici', scenario: 'tls', failed: 0 }]);
});
