import t from 'tap';
import { parseUpstream } from '../../src/config/parse.ts';
import { Intake } from '../../src/data/intake.ts';
import type { Prepared } from '../../src/data/intake.ts';
import { hashText } from '../../src/pool/split.ts';
import type { Phase } from '../../src/pool/phase.ts';
import type { EdgePolicy } from '../../src/pool/policy.ts';
import { NO_REACH } from '../../src/pool/reach.ts';
import type { TableDelta, TableUpstream, TableVersion } from '../../src/pool/table.ts';
import type { UpstreamTarget } from '../../src/proxy/targets.ts';

const EDGE: EdgePolicy = {
  trustedProxies: [],
  timeouts: { handshake: 1, clientHead: 1, keepAlive: 1, body: 1 },
  limits: {
    head: 32_768,
    headers: 100,
    target: 8192,
    connections: 10,
    handshakes: 10,
    streams: 10,
    unread: 1_048_576,
    unreadTotal: 268_435_456,
    connectionsPerClient: null,
    rate: null,
    clients: 64,
    bodyRate: null,
  },
  accessLog: 'off',
  errorPages: {},
};

const { policy } = parseUpstream('web', { routes: [{ host: '*', path: '/' }], balance: 'round-robin', limits: { connections: 7 } });

function version(id: string, slots: readonly number[], weight = 100, phase: Phase = weight > 0 ? 'live' : 'standby'): TableVersion {
  const backends = slots.map((slot) => ({ slot, address: `127.0.0.1:${9000 + slot}`, host: '127.0.0.1', port: 9000 + slot, weight: 1 }));
  return { id, slot: 100 + slots[0], phase, weight, reach: NO_REACH, backends };
}

const upstream = (name: string, ...versions: TableVersion[]): TableUpstream => ({ name, slot: 900, policy, held: false, versions });

let generation = 0;

function delta(upstreams: readonly TableUpstream[], more: Partial<TableDelta> = {}): TableDelta {
  return { generation: ++generation, upstreams, removed: [], routes: null, edge: null, ...more };
}

const ROUTES = [{ host: '*', path: '/', upstream: 'web', rules: null }];

/** An intake that has taken the first table, of `web` on slots 1 and 2 and `api` on slot 3. */
function begun(): { intake: Intake; first: Prepared } {
  const intake = new Intake(() => undefined);
  const first = intake.compile(delta([upstream('web', version('v1', [1, 2])), upstream('api', version('a1', [3]))], { routes: ROUTES, edge: EDGE }));
  return { intake, first };
}

function of({ table }: Prepared, name: string): UpstreamTarget {
  const found = table.upstreams.get(name);
  if (found === undefined) throw new Error(`no upstream ${name}`);
  return found;
}

const slotsOf = (targets: readonly { readonly slot: number }[]): number[] => targets.map(({ slot }) => slot);

t.test('the first table', async (t) => {
  const { first } = begun();
  const { table, retired, warm } = first;
  t.equal(table.generation, generation);
  t.equal(table.edge, EDGE);
  t.strictSame([...table.upstreams.keys()], ['web', 'api']);
  const web = of(first, 'web');
  t.match(web, { name: 'web', policy, held: false, ends: [10_000], seed: hashText('web'), load: { active: 0, retrying: 0 } });
  t.match(web.live, [{ id: 'v1', slot: 101, weight: 100 }]);
  t.match(web.live[0].backends, [
    { slot: 1, address: '127.0.0.1:9001', host: '127.0.0.1', port: 9001, retired: false },
    { slot: 2, address: '127.0.0.1:9002', port: 9002 },
  ]);
  t.match(web.live[0].rotation, { balance: 'round-robin', limit: 7 });
  t.strictSame([...web.live[0].rotation.slots], [1, 2]);
  t.strictSame([retired, warm], [[], []]);
  t.throws(() => new Intake(() => undefined).compile(delta([], { routes: [] })), /no edge policy/, 'a first table is whole');
});

t.test('what did not change keeps its objects', async (t) => {
  const { intake, first } = begun();
  const second = intake.compile(delta([upstream('web', version('v1', [1, 2]), version('v2', [4], 0))]));
  t.equal(of(second, 'api'), of(first, 'api'), 'the other upstream');
  t.equal(second.table.routes, first.table.routes, 'the routes');
  t.equal(second.table.edge, EDGE, 'the edge policy');
  t.not(of(second, 'web'), of(first, 'web'));
  t.equal(of(second, 'web').load, of(first, 'web').load, 'its load is counted on');
  t.strictSame(
    of(second, 'web').live[0].backends.map((backend, i) => backend === of(first, 'web').live[0].backends[i]),
    [true, true],
    'its backends, with their idle connections',
  );
  t.strictSame(slotsOf(of(first, 'web').live), [101], 'the first table is as it was');
});

t.test('a swap, delta by delta', async (t) => {
  const { intake, first } = begun();
  const standby = intake.compile(delta([upstream('web', version('v2', [4, 5], 0), version('v1', [1, 2]))]));
  t.strictSame(slotsOf(standby.warm), [4, 5], 'a version on standby is warmed');
  t.strictSame([slotsOf(of(standby, 'web').live), standby.retired], [[101], []], 'and gets no traffic');
  const canary = intake.compile(delta([upstream('web', version('v2', [4, 5], 25), version('v1', [1, 2], 75))]));
  t.strictSame(
    of(canary, 'web').live.map(({ id, weight }) => [id, weight]),
    [
      ['v2', 25],
      ['v1', 75],
    ],
  );
  t.strictSame(of(canary, 'web').ends, [2500, 10_000], 'the newest owns the first buckets');
  t.strictSame([canary.warm, canary.retired], [[], []]);
  t.equal(of(canary, 'web').live[0].backends[1], standby.warm[1], 'what was warmed is what is used');
  const done = intake.compile(delta([upstream('web', version('v2', [4, 5]))]));
  t.strictSame(done.retired, of(first, 'web').live[0].backends, 'the old backends are given up');
  t.strictSame(slotsOf(of(done, 'web').live), [104]);
  t.strictSame(intake.compile(delta([upstream('web', version('v2', [4, 5]))])).retired, [], 'once');
  const back = intake.compile(delta([upstream('web', version('v1', [1, 2]))]));
  t.strictSame(
    [slotsOf(back.retired), slotsOf(of(back, 'web').live[0].backends)],
    [
      [4, 5],
      [1, 2],
    ],
    'and back',
  );
  t.notOk(
    of(back, 'web').live[0].backends.some((backend) => done.retired.includes(backend)),
    'a backend that was given up is not taken up again',
  );
});

t.test('a version with an address of another has backends of its own', async (t) => {
  const { intake } = begun();
  const [a] = version('v2', [4], 50).backends;
  const shared: TableVersion = { ...version('v2', [4], 50), backends: [{ ...a, address: '127.0.0.1:9001', port: 9001 }] };
  const web = of(intake.compile(delta([upstream('web', shared, version('v1', [1, 2], 50))])), 'web');
  t.strictSame(
    web.live.map(({ backends }) => slotsOf(backends)),
    [[4], [1, 2]],
  );
  t.not(web.live[0].backends[0], web.live[1].backends[0]);
});

t.test('upstreams come, are held, and go', async (t) => {
  const { intake, first } = begun();
  const held = intake.compile(delta([{ ...upstream('web', version('v1', [1, 2])), held: true }]));
  t.ok(of(held, 'web').held);
  const empty = intake.compile(delta([upstream('new')]));
  t.strictSame([of(empty, 'new').live, of(empty, 'new').ends], [[], []], 'nothing is live in it');
  const gone = intake.compile(delta([], { removed: ['web', 'never-there'] }));
  t.strictSame([...gone.table.upstreams.keys()], ['api', 'new']);
  t.strictSame(gone.retired, of(first, 'web').live[0].backends);
  of(first, 'web').load.active = 3;
  const again = intake.compile(delta([upstream('web', version('v1', [1, 2]))]));
  t.equal(of(again, 'web').load.active, 0, 'another one of that name begins at nothing');
  t.notOk(of(again, 'web').live[0].backends.some((backend) => gone.retired.includes(backend)));
  t.strictSame([...held.table.upstreams.keys()], ['web', 'api'], 'earlier tables are as they were');
});

t.test('a slot that is used again is another backend', async (t) => {
  const { intake, first } = begun();
  intake.compile(delta([upstream('web', version('v2', [4]))]));
  const api = of(intake.compile(delta([upstream('api', version('a2', [1], 50), version('a1', [3], 50))])), 'api');
  t.not(api.live[0].backends[0], of(first, 'web').live[0].backends[0]);
  t.equal(api.live[1].backends[0], of(first, 'api').live[0].backends[0]);
});

t.test('routes and edge policy change on their own', async (t) => {
  const { intake, first } = begun();
  const edge = { ...EDGE, accessLog: 'full' as const };
  const changed = intake.compile(delta([], { routes: [{ host: 'a', path: '/', upstream: 'api', rules: null }], edge }));
  t.not(changed.table.routes, first.table.routes);
  t.equal(changed.table.edge, edge);
  t.equal(of(changed, 'web'), of(first, 'web'));
  t.equal(intake.compile(delta([])).table.edge, edge, 'and stay changed');
});
