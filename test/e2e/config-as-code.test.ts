import t from 'tap';
import type { Test } from 'tap';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigPlan, ConfigView, DriftView } from '../../src/control/config-views.ts';
import type { HistoryEntry } from '../../src/history/history.ts';
import { Backends } from '../helpers/backends.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import type { CliAnswer } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms' };
const SECRET = 'Basic c2VjcmV0LW9mLXRoZS1iYWNrZW5k';

interface World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  /** The file of an operator, elsewhere than that of the proxy. */
  readonly file: string;
  readonly web: Record<string, unknown>;
  write(document: Record<string, unknown>): Promise<void>;
}

async function start(t: Test): Promise<World> {
  const backends = await Backends.start(t);
  const web = { routes: [{}], health: HEALTH, versions: { v1: { backends: await backends.listen('v1') } } };
  const proxy = await Proxy.start(t, { upstreams: {} });
  const dir = await tempDir(t);
  const file = join(dir, 'edge.json');
  await writeFile(join(dir, 'sorry.html'), '<p>sorry</p>');
  const listeners = [{ host: '127.0.0.1', port: proxy.port }];
  return { proxy, backends, file, web, write: (document) => writeFile(file, JSON.stringify({ listeners, ...document })) };
}

function at({ proxy, file }: World, name: string, ...more: readonly string[]): Promise<CliAnswer> {
  return verb(proxy, name, '--config', file, ...more);
}

async function config({ proxy }: World): Promise<ConfigView> {
  return (await proxy.admin('/v1/config')).json as ConfigView;
}

async function history({ proxy }: World): Promise<HistoryEntry[]> {
  return (await proxy.admin('/v1/history?limit=500')).json as HistoryEntry[];
}

async function answeredBy({ proxy }: World, target: string): Promise<string | number> {
  const answer = await proxy.send({ target });
  return answer.status === 200 ? (field(answer, 'x-version') ?? '') : answer.status;
}

t.test('plan, apply, and a plan that is empty; a change by hand is drift, with who and when; undo takes it back', async (t) => {
  const world = await start(t);
  const { proxy, web, backends } = world;
  const withSecret = { ...web, routes: [{ headers: { request: { set: { Authorization: SECRET } } } }] };
  await world.write({ errorPages: { '404': 'sorry.html' }, limits: { target: 4000 }, upstreams: { web: withSecret } });
  const plan = await at(world, 'plan');
  t.equal(plan.code, 0, plan.stderr);
  t.match(plan.stdout, /^3 changes to revision 1\n/);
  t.match(plan.stdout, /\+ upstreams\.web +a new upstream\n/);
  t.match(plan.stdout, /~ limits\.target +8192 → 4000\n/);
  t.equal(await answeredBy(world, '/'), 404, 'nothing was done');
  const unsaid = await at(world, 'apply');
  t.equal(unsaid.code, 2);
  t.equal(await answeredBy(world, '/'), 404, 'still nothing');
  const applied = await at(world, 'apply', '--yes');
  t.equal(applied.code, 0, applied.stderr);
  await eventually('v1', async () => (await answeredBy(world, '/')) === 'v1');
  for (const name of ['plan', 'diff']) {
    const empty = await at(world, name);
    t.equal(empty.code, 0, empty.stdout + empty.stderr);
    t.match(empty.stdout, /^(nothing to change|no drift: what runs is what .*edge\.json says)\n$/);
  }
  const traffic = new Traffic({ port: proxy.port, clients: 4 });
  const byHand = { ...withSecret, limits: { body: 1_000_000 }, retries: { attempts: 3 } };
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: byHand, headers: { 'x-switchyard-actor': 'bob' } })).status, 200);
  const drift = await at(world, 'diff');
  t.equal(drift.code, 2);
  t.match(drift.stdout, /^drift: 2 fields/);
  t.match(drift.stdout, /~ upstreams\.web\.limits\.body +null → 1000000 +\(admin@127\.0\.0\.1\/bob, \d+s ago, change \d+\)/);
  t.match(JSON.parse((await at(world, 'diff', '--json')).stdout), {
    drift: [
      { from: null, to: 1_000_000 },
      { from: 1, to: 3 },
    ],
  });
  const args = (await backends.listen('v2')).flatMap((address) => ['--backend', address]);
  t.equal((await verb(proxy, 'swap', 'web', '--to', 'v2', ...args)).code, 0);
  const undone = await verb(proxy, 'undo');
  t.equal(undone.code, 0, undone.stderr);
  t.match(undone.stdout, /the configuration is as it was after change 2: revision \d+\n {2}~ upstreams\.web\.limits\.body +1000000 → null/);
  t.equal((await at(world, 'diff')).code, 0);
  t.equal(await answeredBy(world, '/'), 'v2', 'versions belong to deploys');
  await traffic.stop();
  t.strictSame(traffic.failed, []);
  const kinds = (await history(world)).map(({ kind }) => kind);
  t.strictSame(kinds, ['config', 'swap', 'config', 'config', 'config']);
  t.match((await verb(proxy, 'history', 'web')).stdout, /swap +web +admin@127\.0\.0\.1.* swap v1 → v2: done/);
  t.match((await verb(proxy, 'history', '--show', '3')).stdout, /3 {2}web changed\n {2}config, by admin@127\.0\.0\.1\/bob \(api\) at /);
  const shown = [(await proxy.admin('/v1/config')).text, (await proxy.admin('/v1/history')).text, proxy.output, plan.stdout, drift.stdout];
  for (const text of shown) t.notMatch(text, /c2VjcmV0/);
  t.notMatch(await readFile(join(proxy.stateDir, 'history', 'log.jsonl'), 'utf8'), /c2VjcmV0/);
});

t.test('what was applied is in force after kill -9, and each generation can be brought back from there', async (t) => {
  const world = await start(t);
  const { proxy, web } = world;
  await world.write({ limits: { target: 300 }, upstreams: { web, old: { routes: [{ path: '/old' }] } } });
  t.equal((await at(world, 'apply', '--yes')).code, 0);
  const first = (await config(world)).revision;
  await world.write({ limits: { target: 200 }, upstreams: { web: { ...web, routes: [{ path: '/web' }] } } });
  t.match((await at(world, 'plan')).stdout, /= upstreams\.old runs and is not in the file; it stays \(--prune removes it\)/);
  t.equal((await at(world, 'diff')).code, 2);
  t.equal((await at(world, 'apply', '--yes', '--prune')).code, 0);
  await proxy.kill();
  await proxy.restart();
  t.equal((await at(world, 'diff')).code, 0, 'nothing differs after the kill');
  t.equal(await answeredBy(world, `/web/${'x'.repeat(250)}`), 414);
  t.equal((await config(world)).revision, first + 1, 'and the start has changed nothing');
  await eventually('v1', async () => (await answeredBy(world, '/web')) === 'v1');
  t.equal((await verb(proxy, 'undo', '--to', String(first))).code, 0);
  t.equal(await answeredBy(world, `/${'x'.repeat(250)}`), 'v1');
  t.strictSame(Object.keys((await config(world)).config.upstreams as object).sort(), ['old', 'web']);
  t.match(await verb(proxy, 'undo', '--to', '999'), { code: 2, stderr: /There is no change 999; 1 to \d+ are remembered/ });
  const blobs = (await readdir(join(proxy.stateDir, 'history'))).filter((name) => name.endsWith('.tmp'));
  t.strictSame(blobs, []);
});

t.test('two at once: one wins, the other is told who; what is not valid changes nothing', async (t) => {
  const world = await start(t);
  const { proxy, web } = world;
  const { revision } = await config(world);
  const put = (actor: string, document: unknown) =>
    proxy.admin('/v1/config', { method: 'PUT', body: document, headers: { 'if-match': `"${revision}"`, 'x-switchyard-actor': actor } });
  const both = await Promise.all(['ann', 'bob'].map((name) => put(name, { upstreams: { [`of-${name}`]: { ...web, routes: [{ path: `/${name}` }] } } })));
  t.strictSame(both.map(({ status }) => status).sort(), [200, 412]);
  const [won, lost] = both[0].status === 200 ? ['ann', both[1]] : ['bob', both[0]];
  t.match(lost.json, { code: 'stale-revision', revision: revision + 1, changedBy: `admin@127.0.0.1/${won}`, detail: /The configuration is at revision/ });
  t.strictSame(Object.keys((await config(world)).config.upstreams as object), [`of-${won}`]);
  await world.write({ upstreams: { web, other: { routes: [{}] } } });
  const clash = await at(world, 'apply', '--yes');
  t.match(clash, { code: 2, stderr: /upstreams\.other\.routes\[0\]: expected a route of its own, got '\*\/', which upstream 'web' has/ });
  t.equal((await put('ann', { admin: { port: 1 } })).status, 412);
  const foreign = await proxy.admin('/v1/config', { method: 'PUT', body: { admin: { port: 1 } } });
  t.match(foreign, { status: 400, json: { errors: [{ path: 'admin', message: /on the machine of the proxy/ }] } });
  t.equal((await config(world)).revision, revision + 1);
});

t.test('an applied change of what the file of the proxy owns is drift, seen in explain and metrics, until the file says otherwise', async (t) => {
  const world = await start(t);
  const { proxy, web } = world;
  await proxy.editConfig((before) => ({ ...before, upstreams: { web } }));
  await eventually('v1', async () => (await answeredBy(world, '/')) === 'v1');
  await world.write({ upstreams: { web: { ...web, limits: { body: 5 } } } });
  const applied = await at(world, 'apply', '--yes');
  t.match(applied, { code: 0, stdout: /! upstreams\.web is owned by the file proxy\.config\.json, which says otherwise/ });
  const view = await config(world);
  t.equal(view.owners['upstreams.web'], 'file');
  const drift: Partial<DriftView>[] = [{ path: 'upstreams.web.limits.body', from: null, to: 5 }];
  t.match(view.drift, drift);
  t.match((await proxy.admin('/metrics')).text, /\nswitchyard_config_drift 1\n/);
  t.match((await verb(proxy, 'explain', 'web')).stdout, /not what the file proxy\.config\.json says: upstreams\.web\.limits\.body, changed by admin@/);
  t.match((await verb(proxy, 'status')).stdout, /! 1 field is not what the file proxy\.config\.json says/);
  await proxy.editConfig((before) => ({ ...before, upstreams: { web: { ...web, retries: { attempts: 2 } } } }));
  await eventually('the word of the file', async () => (await config(world)).drift.length === 0);
  t.match((await history(world))[0], {
    by: 'file proxy.config.json',
    via: 'file',
    changes: [{ path: 'upstreams.web.limits.body' }, { path: 'upstreams.web.retries.attempts' }],
  });
  await proxy.stop();
  await proxy.editConfig((before) => ({ ...before, upstreams: { web: { ...web, retries: { attempts: 4 } } } }));
  await proxy.restart();
  t.match((await history(world))[0], { via: 'start', summary: 'changed while the proxy did not run', changes: [{ from: 2, to: 4 }] });
});

t.test('undo of a swap is a rollback while the version is kept, else it is refused; splits and holds are in the history', async (t) => {
  const world = await start(t);
  const { proxy, web, backends } = world;
  await world.write({ upstreams: { web: { ...web, rollback: { keep: '5m' } } } });
  t.equal((await at(world, 'apply', '--yes')).code, 0);
  await eventually('v1', async () => (await answeredBy(world, '/')) === 'v1');
  for (const to of ['v2', 'v3']) {
    const args = (await backends.listen(to)).flatMap((address) => ['--backend', address]);
    t.equal((await verb(proxy, 'swap', 'web', '--to', to, ...args, '--until', 'drained')).code, 0);
  }
  const swapped = await eventually('the swaps', async () => {
    const found = (await history(world)).filter(({ kind }) => kind === 'swap');
    return found.length === 2 ? found : null;
  });
  const undone = await verb(proxy, 'undo', '--to', String(swapped[1].id));
  t.match(undone, { code: 0, stdout: /a rollback of web to v2 was started/ });
  await eventually('v2', async () => (await answeredBy(world, '/')) === 'v2');
  await verb(proxy, 'hold', 'web');
  await verb(proxy, 'unhold', 'web');
  t.strictSame(
    (await history(world)).slice(0, 2).map(({ kind, summary }) => `${kind} ${summary}`),
    ['hold let go on', 'hold held'],
  );
  const [held] = await history(world);
  t.match(await verb(proxy, 'undo', '--to', String(held.id)), { code: 5, stderr: /is none that can be brought back/ });
  const plan = (await proxy.admin('/v1/config/plan', { body: { upstreams: {} } })).json as ConfigPlan;
  t.strictSame(plan.kept, ['web']);
});
