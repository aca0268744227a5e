import t from 'tap';
import type { Test } from 'tap';
import { fieldAll } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts, upstreamState } from './counts.ts';

const CLIENTS = 400;
const VERSIONS = ['v1', 'v2', 'v3'];
const backends = await Promise.all(VERSIONS.map((id) => RawUpstream.start(t, (_, connection) => connection.respond(200, id))));
const NAMES = ['by-address', 'by-cookie', 'by-header', 'maglev'];
const policy = { health: { kind: 'none' }, rollback: { keep: '10m' } };
const shape = (more: Record<string, unknown>, name: string): Record<string, unknown> =>
  catchAll({ v1: [backends[0].address] }, 'v1', { ...policy, routes: [{ path: `/${name}` }], ...more });
const spread = await Promise.all(Array.from({ length: 4 }, (_, i) => RawUpstream.start(t, (_, connection) => connection.respond(200, `b${i}`))));
const proxy = await Proxy.start(t, {
  upstreams: {
    'by-address': shape({}, 'by-address'),
    'by-cookie': shape({ sticky: { cookie: 'sw' } }, 'by-cookie'),
    'by-header': shape({ sticky: { header: 'X-User' } }, 'by-header'),
    maglev: catchAll({ v1: spread.map(({ address }) => address) }, 'v1', {
      health: { kind: 'none' },
      balance: 'maglev',
      sticky: { header: 'X-User' },
      routes: [{ path: '/maglev' }],
    }),
  },
});

async function split(name: string, weights: Record<string, number>): Promise<void> {
  const response = await proxy.admin(`/v1/upstreams/${name}/split`, { method: 'PUT', body: weights });
  if (response.status !== 200) throw new Error(`the split was refused: ${response.text}`);
}

/** The version that answers. */
async function versionOf(request: RequestSpec, localAddress?: string): Promise<string> {
  using client = await RawClient.connect(proxy.port, { localAddress });
  return (await client.request(request)).body.toString();
}

async function inBatches<T>(count: number, run: (i: number) => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  for (let at = 0; at < count; at += 50) found.push(...(await Promise.all(Array.from({ length: Math.min(50, count - at) }, (_, i) => run(at + i)))));
  return found;
}

for (const name of NAMES.slice(0, 3)) {
  await proxy.admin(`/v1/upstreams/${name}/versions`, { body: { id: 'v2', backends: [backends[1].address] } });
  await eventually(`${name}: v2 is on standby`, async () =>
    (await upstreamState(proxy, name)).versions.some(({ id, phase }) => id === 'v2' && phase === 'standby'),
  );
}

/** Raises the weight of v2 and watches who is moved. */
async function canary(t: Test, name: string, ask: (i: number) => Promise<string>): Promise<void> {
  let before = await inBatches(CLIENTS, ask);
  t.ok(
    before.every((version) => version === 'v1'),
    'all on v1 at first',
  );
  for (const weight of [5, 25, 50]) {
    await split(name, { v2: weight, v1: 100 - weight });
    const now = await inBatches(CLIENTS, ask);
    const back = now.filter((version, i) => before[i] === 'v2' && version !== 'v2').length;
    const share = (now.filter((version) => version === 'v2').length / CLIENTS) * 100;
    t.equal(back, 0, `${weight} %: nobody moves back`);
    // Five standard deviations of a fair draw.
    const slack = 5 * Math.sqrt((weight * (100 - weight)) / CLIENTS);
    t.ok(Math.abs(share - weight) < slack, `${weight} %: ${share} % of the clients`);
    before = now;
  }
  t.strictSame(await inBatches(CLIENTS, ask), before, 'asked again, everybody stays');
  await split(name, { v2: 100 });
  t.ok(
    (await inBatches(CLIENTS, ask)).every((version) => version === 'v2'),
    'all on v2 in the end',
  );
}

t.test('by client address: a canary only moves clients forward', async (t) => {
  await canary(t, 'by-address', (i) => versionOf({ target: '/by-address' }, `127.0.${1 + Math.floor(i / 200)}.${1 + (i % 200)}`));
});

t.test('by a header of the application', async (t) => {
  await canary(t, 'by-header', (i) => versionOf({ target: '/by-header', fields: [['x-user', `user-${i}`]] }));
});

t.test('by cookie', async (t) => {
  const cookies: string[] = Array.from({ length: CLIENTS }, () => '');
  const ask = async (i: number): Promise<string> => {
    using client = await RawClient.connect(proxy.port);
    const fields: [string, string][] = cookies[i] === '' ? [] : [['Cookie', `theme=dark; ${cookies[i]}; other=1`]];
    const response = await client.request({ target: '/by-cookie', fields });
    if (response.status !== 200) t.fail(`never refused: ${response.status}`);
    const set = fieldAll(response, 'set-cookie');
    if (set.length > 0) {
      if (!/^sw=[0-9a-f]{16}\.v\d; Path=\/; HttpOnly; SameSite=Lax$/.test(set[0]) || set.length > 1) t.fail(`set: ${set.join(' and ')}`);
      cookies[i] = set[0].split(';')[0];
    }
    return response.body.toString();
  };
  await inBatches(CLIENTS, ask);
  t.ok(
    cookies.every((cookie) => cookie.endsWith('.v1')),
    'everybody has one',
  );
  const first = [...cookies];
  await split('by-cookie', { v2: 50, v1: 50 });
  t.ok(
    (await inBatches(CLIENTS, ask)).every((version) => version === 'v1'),
    'who is bound to a version that is live stays on it',
  );
  t.strictSame(cookies, first, 'and keeps the cookie');
  const fresh = await inBatches(CLIENTS, async () => versionOf({ target: '/by-cookie' }));
  const share = fresh.filter((version) => version === 'v2').length / CLIENTS;
  t.ok(Math.abs(share - 0.5) < 0.125, `of new clients ${share * 100} % come to v2`);
  await split('by-cookie', { v2: 100 });
  t.ok(
    (await inBatches(CLIENTS, ask)).every((version) => version === 'v2'),
    'a cookie of a version that is gone heals',
  );
  t.ok(
    cookies.every((cookie, i) => cookie === first[i].replace('.v1', '.v2')),
    'its key stays, its version is new',
  );
  for (const broken of ['sw=', 'sw=x', 'sw=0123456789abcdef.', 'sw=0123456789abcdef.v9', 'sw="0123456789abcdef.v2"', 'sw=0123456789abcdef.v2\x80']) {
    t.equal(await versionOf({ target: '/by-cookie', fields: [['Cookie', broken]] }), 'v2', `${JSON.stringify(broken)} is no reason to refuse`);
  }
});

t.test('by hash over the backends', async (t) => {
  const ask = (i: number): Promise<string> => versionOf({ target: '/maglev', fields: [['X-User', `user-${i}`]] });
  const homes = await inBatches(100, ask);
  t.strictSame(await inBatches(100, ask), homes, 'a key stays with its backend');
  t.equal(new Set(homes).size, 4, 'and every backend has some');
});

t.test('the books', async (t) => {
  for (const name of NAMES) t.match(await settledCounts(proxy, name), { clientAborted: 0, upstreamFailed: 0, killed: 0 }, name);
});
