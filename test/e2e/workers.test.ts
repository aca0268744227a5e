import t from 'tap';
import { joinWorkers } from '../../src/worker/client.ts';
import type { Worker } from '../../src/worker/client.ts';
import type { Teardown } from '../helpers/temp.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { workerUpstream } from '../helpers/worker-jobs.ts';

/** Joins as a member of a version; it leaves when the test ends. */
async function join(t: Teardown, proxy: Proxy, version: string, member: string): Promise<Worker> {
  const worker = await joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version, member });
  t.teardown(() => worker.leave(0));
  return worker;
}

t.test('workers are swapped by the verbs that swap backends', async (t) => {
  const jobs = workerUpstream({ versions: { v1: { members: 2 } }, drain: { requests: '3m' } }, { ttl: '15s' });
  const proxy = await Proxy.start(t, { upstreams: { jobs } });
  const [a, b] = await Promise.all([join(t, proxy, 'v1', 'v1-1'), join(t, proxy, 'v1', 'v1-2')]);
  await eventually('v1 runs', () => a.order === 'run' && b.order === 'run');
  const lease = a.begin('job-1');
  const status = await proxy.cli(['status', 'jobs']);
  t.match(status.stdout, /MEMBER OF v1 .*\n +v1-1 +ready +run +2 .*\n +v1-2 +ready +run/);
  const swap = proxy.cliProcess(['swap', 'jobs', '--to', 'v2', '--members', '1']);
  const c = await join(t, proxy, 'v2', 'v2-1');
  await eventually('v2 runs', () => c.order === 'run');
  await eventually('v1 quiesces', () => a.order === 'quiesce' && b.order === 'quiesce');
  t.equal(a.tryBegin('job-2'), null);
  await eventually('what it waits for is told', async () => (await proxy.cli(['explain', 'jobs', 'v1'])).stdout.includes('v1-1 has 1 in hand (job-1)'), 60_000);
  lease.end();
  const { code } = await swap.wait(60_000);
  t.equal(code, 0, swap.stderr);
  t.match(swap.stdout, /1 of 1 member ready[^]*all work on v2[^]*nothing in hand[^]*1 lease taken: 1 completed[^]*members: v1-1 at 4, v1-2 at 4/);
  await eventually('v1 is told to stop', () => a.order === 'stop');
  t.equal(await a.mayTake(), false);
  t.match((await proxy.cli(['receipt', 'jobs', 'v1', '--json'])).stdout, /"kind": "worker"[^]*"completed": 1/);
  t.match((await proxy.admin('/metrics')).text, /switchyard_members\{upstream="jobs",version="v2",order="run"\} 1/);
});

t.test('a token of scope report may report and nothing else, and what is no report is named', async (t) => {
  const tokens = [
    { name: 'ops', token: 'operator-token' },
    { name: 'worker', token: 'worker-token', scope: 'report' },
    { name: 'viewer', token: 'viewer-token', scope: 'read' },
  ];
  const web = { routes: [{}] };
  const port = await freePort();
  const config = { admin: { port, tokens }, upstreams: { web, jobs: workerUpstream({ versions: { v1: { members: 1 } } }, { ttl: '60s' }) } };
  await Proxy.start(t, config, { unready: true });
  const admin = `http://127.0.0.1:${port}`;
  await eventually(
    'it is ready',
    () =>
      fetch(`${admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    60_000,
  );
  const ask = async (token: string, method: string, path: string, body?: unknown): Promise<string> => {
    const answer = await fetch(admin + path, { method, body: body === undefined ? null : JSON.stringify(body), headers: { authorization: `Bearer ${token}` } });
    const text = await answer.text();
    return `${answer.status} ${/"code":"([^"]*)"/.exec(text)?.[1] ?? ''}`.trim();
  };
  const member = '/v1/upstreams/jobs/members/v1-1';
  t.equal(await ask('worker-token', 'PUT', member, { version: 'v1', busy: false }), '200');
  t.equal(await ask('operator-token', 'PUT', member, { version: 'v1' }), '200');
  t.equal(await ask('viewer-token', 'PUT', member, { version: 'v1' }), '403 forbidden');
  t.equal(await ask('worker-token', 'GET', '/v1/upstreams/jobs/members'), '403 forbidden');
  t.equal(await ask('worker-token', 'POST', '/v1/upstreams/jobs/swap', { to: 'v1' }), '403 forbidden');
  t.equal(await ask('viewer-token', 'GET', '/v1/upstreams/jobs/members'), '200');
  t.equal(await ask('operator-token', 'GET', '/v1/upstreams/web/members'), '409 not-of-workers');
  t.equal(await ask('worker-token', 'PUT', '/v1/upstreams/none/members/a', { version: 'v1' }), '404 no-such-upstream');
  t.equal(await ask('worker-token', 'DELETE', '/v1/upstreams/jobs/members/none'), '404 no-such-member');
  t.equal(await ask('worker-token', 'PUT', member, { version: 'v1', leases: -1 }), '400 invalid');
  t.equal(await ask('worker-token', 'PUT', member, { version: 'v1', done: { completed: 1 } }), '400 invalid', 'counts of nobody');
  t.equal(await ask('worker-token', 'PUT', member, { version: 'v1', instance: 'x', done: { completed: 1 } }), '410 member-expired');
  t.equal(await ask('operator-token', 'POST', '/v1/upstreams/jobs/swap', { to: 'v2', backends: ['127.0.0.1:1'] }), '400 invalid');
  t.equal(await ask('operator-token', 'POST', '/v1/upstreams/web/swap', { to: 'v2', members: 2 }), '400 invalid');
  t.equal(await ask('worker-token', 'DELETE', member), '204');
});
