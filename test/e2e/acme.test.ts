import t from 'tap';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { acmeWorld, issuedFor, shown } from '../helpers/acme.ts';
import { MAIN, NodeProcess } from '../helpers/process.ts';
import { freePorts } from '../helpers/ports.ts';
import { send } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';

t.test('a listener gets its certificates by http-01: one for each name or list, kept for the next start', async (t) => {
  const { pebble, http, https, stateDir, start } = await acmeWorld(t, { nonceReject: 30 }, { domains: ['a.example', ['b.example', 'www.b.example']] });
  const proxy = await start();
  const first = await shown(https, 'a.example');
  t.ok(first.checkHost('a.example'), 'until then there is one for the name');
  t.match(proxy.told.join('\n'), /info a\.example: a self-signed certificate is shown until 127\.0\.0\.1:\d+ has given one/);
  const [one, other] = [await issuedFor(https, 'a.example'), await issuedFor(https, 'www.b.example')];
  t.match(one.subjectAltName, 'DNS:a.example');
  t.match(other.subjectAltName, /DNS:b\.example.*DNS:www\.b\.example/);
  // A certificate is shown before it is counted.
  await eventually('both are counted', () => proxy.control.acme.renewals.issued === 2, 60_000);
  t.strictSame(proxy.control.acme.renewals, { issued: 2, failed: 0 }, 'though the server refused every third nonce');
  t.strictSame(
    proxy.control.acme.status().map(({ state, problem }) => [state, problem]),
    [
      ['issued', null],
      ['issued', null],
    ],
  );

  const dir = join(stateDir, 'acme');
  t.equal(statSync(dir).mode & 0o777, 0o700);
  const files = readdirSync(dir);
  t.equal(files.length, 3, 'an account and two certificates');
  for (const file of files) t.equal(statSync(join(dir, file)).mode & 0o777, 0o600, file);

  const secrets = files.map((file) => (JSON.parse(readFileSync(join(dir, file), 'utf8')) as { key: string }).key);
  const views = JSON.stringify([proxy.control.operator.certificates(), proxy.events, proxy.told]);
  for (const secret of secrets) t.notOk(views.includes(secret.split('\n')[1]), 'keys are not told');

  t.equal((await send(http, { target: '/.well-known/acme-challenge/none' })).status, 404, 'what is over is not answered');
  await proxy.stop();
  await pebble.stop();
  const again = await start();
  t.equal((await shown(https, 'a.example')).fingerprint256, one.fingerprint256, 'the same after a restart, with no authority to ask');
  t.equal((await shown(https, 'www.b.example')).fingerprint256, other.fingerprint256);
  await again.stop();
});

t.test('certificates are renewed in time; while the authority is away the old one stays, and is renewed when it is back', async (t) => {
  const { pebble, https, start } = await acmeWorld(t, { validity: 10 });
  const proxy = await start();
  const first = await issuedFor(https, 'a.example');
  const next = await eventually(
    'a renewal',
    async () => {
      const found = await shown(https, 'a.example');
      return found.fingerprint256 === first.fingerprint256 ? null : found;
    },
    60_000,
  );
  t.ok(Date.parse(next.validFrom) < Date.parse(first.validTo), 'before the first has expired');
  t.match(next.issuer, 'Pebble');

  await pebble.stop();
  const before = (await shown(https, 'a.example')).fingerprint256;
  const event = await proxy.event('certificate-failed', undefined, 60_000);
  t.match(event.data, { names: ['a.example'], reason: /cannot be reached/ });
  t.equal((await shown(https, 'a.example')).fingerprint256, before, 'the one in force stays');
  t.ok(proxy.control.acme.renewals.failed > 0);
  const [view] = proxy.control.operator.certificates();
  t.match(view.acme, { state: /issued|ordering/, problem: /cannot be reached/, directory: pebble.directory });
  t.match(proxy.told.join('\n'), /error no certificate for a\.example from 127\.0\.0\.1:\d+, the one in force stays; tried again at .*cannot be reached/);
  t.match(proxy.control.certificates.facts().join('\n'), /a\.example .* could not be renewed; .*cannot be reached/);

  const { issued } = proxy.control.acme.renewals;
  await pebble.resume();
  await eventually('a renewal', () => proxy.control.acme.renewals.issued > issued, 60_000);
  t.not((await shown(https, 'a.example')).fingerprint256, before, 'the account of before is forgotten there, and made anew');
  t.equal(proxy.control.operator.certificates()[0].acme?.problem, null);
});

t.test('why a certificate could not be had is told, and plain HTTP goes on meanwhile', async (t) => {
  const [unheard] = await freePorts(1);
  const { http, https, start } = await acmeWorld(t, { httpPort: unheard });
  const proxy = await start();
  const event = await proxy.event('certificate-failed', undefined, 60_000);
  t.match(event.data.reason, /^a\.example: (connection|unauthorized)/);
  t.match(proxy.control.certificates.facts().join('\n'), /could not be had, and a self-signed one is shown; it is tried again at .*a\.example: /);
  t.match(proxy.control.operator.certificates()[0].acme, { state: /waiting|ordering/, problem: /a\.example/ });
  t.equal((await send(http)).status, 404);
  t.notMatch((await shown(https, 'a.example')).issuer, 'Pebble');
  await eventually('another try', () => proxy.control.acme.renewals.failed > 1, 60_000);
});

t.test('an account is bound to an external one, where the authority wants that', async (t) => {
  const eab = { kid: 'kid-1', hmacKey: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' };
  const { https, start } = await acmeWorld(t, { eab: { [eab.kid]: eab.hmacKey } }, { eab });
  await start();
  t.match((await issuedFor(https, 'a.example')).issuer, 'Pebble');
});

t.test('killed at any step of an order, the next start gets its certificate', async (t) => {
  const { pebble, https, stateDir, config } = await acmeWorld(t);
  const file = join(stateDir, '..', 'proxy.json');
  const [admin] = await freePorts(1);
  writeFileSync(file, JSON.stringify({ ...config, admin: { port: admin }, dataThreads: 1 }));
  for (const step of ['/sign-me-up', '/order-plz', '/chalZ/', '/finalize-order/', '/certZ/']) {
    const proxy = new NodeProcess([MAIN, 'run', '--config', file]);
    const before = pebble.said(step);
    await eventually(`${step}\n${proxy.stderr}`, () => pebble.said(step) > before, 60_000, 1);
    await proxy.stop('SIGKILL');
    // Were it finished already, there would be nothing to order at the next start.
    for (const name of readdirSync(join(stateDir, 'acme'))) if (name.startsWith('a.example')) rmSync(join(stateDir, 'acme', name));
  }
  const last = new NodeProcess([MAIN, 'run', '--config', file]);
  t.teardown(() => last.stop('SIGKILL'));
  t.match((await issuedFor(https, 'a.example')).issuer, 'Pebble');
  t.equal(readdirSync(join(stateDir, 'acme')).filter((name) => name.startsWith('account')).length, 1, 'one account all the while');
  t.equal((await last.stop()).code, 0);
});
