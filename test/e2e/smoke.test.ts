import t from 'tap';
import { connect } from 'node:tls';
import { Authority } from '../helpers/certificates.ts';
import { Backends } from '../helpers/backends.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll, } from '../helpers/proxy.ts';
import { NodeProcess } from '../helpers/process.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
const run = promisify(execFile);
t.test('smoke', async (t) => {
  const ca = await Authority.create(t);
  const pair = await ca.issue({});
  const backends = await Backends.start(t);
  const port = await freePort();
  const proxy = await Proxy.start(t, { listeners: [{ host: '127.0.0.1', port, tls: { certificates: [{ cert: pair.certFile, key: pair.keyFile }] } }], upstreams: { web: catchAll({ v1: await backends.listen('v1') }, 'v1') } });
  console.error(proxy.output);
  for (const args of [['--http1.1'], ['--http2'], ['--http1.1', '--tls-max', '1.2'], ['--http1.1', '-d', 'x'.repeat(20000)], ['--http2', '-d', 'x'.repeat(20000)], ['--http1.0']]) {
  const r = await run('curl', ['-sS', '-i', '--cacert', ca.certFile, ...args, `https://localhost:${port}/`], {timeout: 5000}).catch((e) => e);
  console.error(args.map(x=>x.slice(0,20)), r.stdout, r.stderr);
  }
  console.error((await proxy.admin('/v1/certificates')).text);
  console.error((await proxy.admin('/v1/certificates/reload', {body: {}})).text);
  console.error((await proxy.admin('/metrics')).text.split('\n').filter((x) => /tls|certif/.test(x)).join('\n'));
  console.error((await proxy.cli(['certificates'])).stdout);
  console.error((await proxy.cli(['status'])).stdout);
  console.error(proxy.output);
});
