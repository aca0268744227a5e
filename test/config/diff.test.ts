import t from 'tap';
import type { ConfigInput, UpstreamInput } from '../../src/config/input.ts';
import { diffConfig } from '../../src/config/diff.ts';
import { parseConfig } from '../../src/config/parse.ts';

const WEB: UpstreamInput = { routes: [{ path: '/' }], versions: { v1: { backends: ['a:1'] } } };
const API: UpstreamInput = { routes: [{ path: '/api' }] };
const BASE: ConfigInput = { upstreams: { web: WEB, api: API } };

function diff(after: ConfigInput, before: ConfigInput = BASE) {
  const surroundings = { cores: 2, folder: '/srv' };
  const { added, changed, ...rest } = diffConfig(parseConfig(before, surroundings), parseConfig(after, surroundings));
  return { ...rest, added: added.map(({ name }) => name), changed: changed.map(({ upstream, fields }) => [upstream.name].concat(fields)) };
}

const NOTHING = {
  added: [],
  changed: [],
  removed: [],
  routes: false,
  edge: false,
  shutdown: false,
  webhooks: false,
  launch: false,
  tls: false,
  warnings: [],
  same: true,
};

t.test('nothing changed, in whatever order it is written', async (t) => {
  t.strictSame(diff(BASE), NOTHING);
  t.strictSame(diff({ upstreams: { api: API, web: WEB } }), NOTHING);
  t.strictSame(diff({ ...BASE, shutdown: { drain: 30_000 } }), NOTHING, 'a default that is written out');
});

t.test('upstreams come, go and change', async (t) => {
  t.strictSame(diff({ upstreams: { web: WEB, shop: { routes: [{ path: '/shop' }] } } }), {
    ...NOTHING,
    added: ['shop'],
    removed: ['api'],
    routes: true,
    same: false,
  });
  t.strictSame(diff({ upstreams: { web: { ...WEB, balance: 'random', drain: { requests: '1s' } }, api: API } }), {
    ...NOTHING,
    changed: [['web', 'drain', 'balance']],
    same: false,
  });
  t.strictSame(diff({ upstreams: { web: WEB, api: { routes: [{ path: '/v2' }] } } }), { ...NOTHING, changed: [['api', 'routes']], routes: true, same: false });
});

t.test('the edge and the shutdown change at run time', async (t) => {
  t.strictSame(diff({ ...BASE, limits: { connectionsPerClient: 5, rate: { requests: 5 } } }), { ...NOTHING, edge: true, same: false });
  t.strictSame(diff({ ...BASE, limits: { clients: 128 } }).warnings, ['The change of limits.clients takes effect after a restart.']);
  t.strictSame(diff({ ...BASE, accessLog: 'full' }), { ...NOTHING, edge: true, same: false });
  t.strictSame(diff({ ...BASE, trustedProxies: ['10.0.0.0/8'] }), { ...NOTHING, edge: true, same: false });
  t.strictSame(diff({ ...BASE, shutdown: { drain: '1s' } }), { ...NOTHING, shutdown: true, same: false });
  t.strictSame(diff({ ...BASE, launch: { onShutdown: 'stop' } }), { ...NOTHING, launch: true, same: false });
  const launched = { upstreams: { web: { ...WEB, launch: { command: ['node', 'a.js'] } }, api: API } };
  t.strictSame(diff(launched), { ...NOTHING, changed: [['web', 'launch']], same: false });
});

t.test('what cannot change at run time is a warning', async (t) => {
  const after: ConfigInput = {
    ...BASE,
    listeners: [{ port: 8081 }],
    admin: { port: 9901 },
    dataThreads: 3,
    stateDir: 'elsewhere',
  };
  t.strictSame(diff(after), {
    ...NOTHING,
    warnings: ['listeners', 'admin', 'dataThreads', 'stateDir'].map((field) => `The change of ${field} takes effect after a restart.`),
  });
});

t.test('versions in the file only seed', async (t) => {
  const { warnings, same } = diff({ upstreams: { web: { ...WEB, versions: { v2: { backends: ['a:2'] } } }, api: API } });
  t.strictSame(warnings, ['The change of upstreams.web.versions or live has no effect: they only seed an upstream that has no state yet. Use a swap.']);
  t.equal(same, true);
});
