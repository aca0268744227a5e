import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { VersionView } from '../../src/control/operations.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { joinWorkers } from '../../src/worker/client.ts';
import type { Change, Worker } from '../../src/worker/client.ts';
import type { Teardown } from '../helpers/temp.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { workerUpstream } from '../helpers/worker-jobs.ts';

async function join(t: Teardown, proxy: Proxy, version: string, member: string): Promise<Worker> {
  const worker = await joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version, member });
  t.teardown(() => worker.leave(0));
  return worker;
}

async function receiptOf(proxy: Proxy, version: string): Promise<Receipt> {
  const ask = async (): Promise<Receipt | null> => {
    const { status, json } = await proxy.admin(`/v1/upstreams/jobs/versions/${version}/receipt`);
    return status === 200 ? (json as Receipt) : null;
  };
  return eventually(`the receipt of ${version}`, ask, 60_000, 25);
}

t.test('a proxy that is killed forgets no lease, and its workers stop by themselves until it is back', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: { jobs: workerUpstream({ versions: { v1: { members: 1 } }, drain: { requests: '1m' } }, { ttl: '6s' }) } });
  const a = await join(t, proxy, 'v1', 'v1-1');
  const b = await join(t, proxy, 'v2', 'v2-1');
  await eventually('v1 runs', () => a.order === 'run');
  a.begin('one').end();
  const lease = a.begin('two');
  await proxy.admin('/v1/upstreams/jobs/swap', { body: { to: 'v2', members: 1 } });
  await eventually('v2 runs', () => b.order === 'run' && a.order === 'quiesce');
  const changes: Change[] = [];
  b.on('quiesce', (change) => changes.push(change));
  await proxy.kill();
  await eventually('nobody works without an answer', () => b.order === 'quiesce', 30_000);
  t.equal(b.tryBegin('three'), null);
  await eventually('it is told so', () => changes.length > 0);
  t.match(changes[0], { order: 'quiesce', why: 'no answer' });
  await proxy.restart();
  await eventually('v2 runs again', () => b.order === 'run', 30_000);
  const held = async (): Promise<boolean> => {
    const { phase, inFlight } = (await proxy.admin('/v1/upstreams/jobs/versions/v1')).json as VersionView;
    t.equal(phase, 'draining', 'not before it is heard');
    return inFlight === 1;
  };
  await eventually('the lease of before is still in hand', held, 30_000, 50);
  lease.end('failed');
  const receipt = await receiptOf(proxy, 'v1');
  t.match(receipt.counts, { started: 2, completed: 1, upstreamFailed: 1, killed: 0 }, 'and what was done before is not forgotten');
  t.ok(receipt.acks['v1-1'] >= receipt.generation);
});

t.test('what is in hand at the drain deadline is stopped, then counted as killed, and the exit code says so', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: { jobs: workerUpstream({ versions: { v1: { members: 2 } } }, { stop: '3s', ttl: '12s' }) } });
  const [a, b] = await Promise.all([join(t, proxy, 'v1', 'v1-1'), join(t, proxy, 'v1', 'v1-2')]);
  const c = await join(t, proxy, 'v2', 'v2-1');
  await eventually('v1 runs', () => a.order === 'run' && b.order === 'run');
  const stubborn = a.begin('stubborn');
  const polite = b.begin('polite');
  polite.signal.addEventListener('abort', () => polite.end('aborted'));
  const { code, stdout, stderr } = await proxy.cli(['swap', 'jobs', '--to', 'v2', '--members', '1', '--drain-timeout', '200ms']);
  t.equal(code, 3, stderr);
  t.match(stdout, /2 leases taken: 0 completed, 1 given back undone, 0 failed, 1 killed/);
  t.match(stderr, /1 lease of v1 had to be counted as killed/);
  t.ok(stubborn.signal.aborted);
  await eventually('v2 runs', () => c.order === 'run');
  t.match((await receiptOf(proxy, 'v1')).killedByKind, { http: 1 });
});

t.test('a version whose members are not there is rejected, and who is late is named', async (t) => {
  const proxy = await Proxy.start(t, { upstreams: { jobs: workerUpstream({ versions: { v1: { members: 1 } } }, { ttl: '12s' }) } });
  const a = await join(t, proxy, 'v1', 'v1-1');
  const late = await joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version: 'v2', member: 'v2-1', ready: false });
  t.teardown(() => late.leave(0));
  await eventually('v1 runs', () => a.order === 'run');
  const { code, stdout } = await proxy.cli(['swap', 'jobs', '--to', 'v2', '--members', '2', '--admission-timeout', '1s']);
  t.equal(code, 1);
  t.match(stdout, /0 of 2 members ready[^]*v2-1 +it says that it is not ready[^]*v2-2 +has not reported/);
  await eventually('nothing moved', () => a.order === 'run');
});

t.test('members that are polled are told by the poll and believed by its answer', async (t) => {
  const told: { order: string; generation: number }[] = [];
  let inHand = 1;
  const serve = async (version: string): Promise<string> => {
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        const order = JSON.parse(text) as { order: string; generation: number };
        if (version === 'v1') told.push(order);
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({ version, instance: 'one', leases: version === 'v1' ? inHand : 0, ...order, reportWithin: undefined, expiresIn: undefined }),
        );
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
      server.close();
      server.closeAllConnections();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const [one, two] = [await serve('v1'), await serve('v2')];
  const jobs = workerUpstream({ versions: { v1: { backends: [one] } } }, { poll: { path: '/work', interval: '50ms' } });
  const proxy = await Proxy.start(t, { upstreams: { jobs } });
  await eventually('v1 is told to run', () => told.at(-1)?.order === 'run');
  const swap = proxy.cliProcess(['swap', 'jobs', '--to', 'v2', '--backend', two]);
  await eventually('v1 is told to quiesce', () => told.at(-1)?.order === 'quiesce', 60_000);
  t.match((await proxy.admin('/v1/upstreams/jobs/versions/v1')).json, { phase: 'draining', inFlight: 1 });
  inHand = 0;
  t.equal((await swap.wait(60_000)).code, 0, swap.stderr);
  t.match((await receiptOf(proxy, 'v1')).counts, { started: 1, completed: 1 });
  t.match(await proxy.cli(['drain', 'jobs', two]), { code: 5, stderr: /of workers/ });
});
