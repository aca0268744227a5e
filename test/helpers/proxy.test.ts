import t from 'tap';
import { catchAll, cli, Proxy } from './proxy.ts';
import { answer, RawUpstream } from './raw_upstream.ts';

t.test('the real proxy is started, called, configured, ended and started again', async (t) => {
  const backend = await RawUpstream.start(t, answer('from the backend'));
  const proxy = await Proxy.start(t, { upstreams: { web: catchAll({ v1: [backend.address] }, 'v1') } });
  t.match(await proxy.send({ target: '/a' }), { status: 200 });
  t.match((await proxy.admin('/v1/upstreams/web')).json, { name: 'web', split: { v1: 100 } });
  const status = await proxy.cli(['status', '--json']);
  t.equal(status.code, 0, status.stderr);
  t.match(status.stdout, /"v1"/);
  await proxy.editConfig((config) => ({ ...config, accessLog: 'off' }));
  t.strictSame(await proxy.stop(), { code: 0, signal: null }, proxy.output);
  await proxy.restart();
  t.equal((await proxy.send()).body.toString(), 'from the backend');
  t.strictSame(await proxy.kill(), { code: null, signal: 'SIGKILL' });
});

t.test('a proxy that cannot start is told with its output', async (t) => {
  await t.rejects(Proxy.start(t, { upstreams: { web: { wrong: true } } }), /did not get ready .*its output:\n[^]*wrong/);
  t.equal((await cli(['no-such-verb'])).code, 2);
});
