import t from 'tap';
import { Backends } from '../helpers/backends.ts';
import { Authority } from '../helpers/certificates.ts';
import { Events } from '../helpers/events.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';

const SWAPS = 6;
/** Every third swap goes by steps. They are not judged: a backend that stands still for a moment is no worse. */
const CANARY = [5, 25, 60].map((weight) => ({ weight, hold: '100ms' }));

t.test(`${SWAPS} swaps under load over TLS, some by canary, each with a reload of the certificates, lose nothing`, { timeout: 170_000 }, async (t) => {
  const backends = await Backends.start(t);
  const authority = await Authority.create(t);
  const pair = await authority.issue();
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, tls: { certificates: [{ cert: pair.certFile, key: pair.keyFile }] } }],
    upstreams: {
      web: { routes: [{}], health: { interval: '200ms', admitInterval: '30ms' }, versions: { v0: { backends: await backends.listen('v0') } }, live: 'v0' },
    },
  });
  const events = await Events.of(t, proxy.adminUrl);
  const traffic = new Traffic({ port, clients: 16, tls: true });
  await eventually('traffic', () => traffic.taken.length > 100);
  for (let n = 1; n <= SWAPS; n++) {
    const to = `v${n}`;
    const strategy = n % 3 === 0 ? { strategy: { canary: CANARY, analysis: false } } : {};
    t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to, backends: await backends.listen(to), ...strategy } })).status, 202);
    t.equal((await proxy.admin('/v1/certificates/reload', { method: 'POST' })).status, 200);
    await events.wait('released', `v${n - 1}`, 30_000);
    const enough = traffic.taken.length + 100;
    await eventually(`traffic on ${to}`, () => traffic.taken.length > enough);
  }
  const taken = await traffic.stop();
  t.comment(`${taken.length} requests`);
  t.strictSame(traffic.failed.slice(0, 3), [], 'no request has failed');
  t.equal(new Set(taken.map(({ version }) => version)).size, SWAPS + 1, 'every version has answered');
});
