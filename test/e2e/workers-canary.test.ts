import t from 'tap';
import type { SwapView } from '../../src/control/operations.ts';
import { joinWorkers } from '../../src/worker/client.ts';
import type { Worker } from '../../src/worker/client.ts';
import type { Teardown } from '../helpers/temp.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { workerUpstream } from '../helpers/worker-jobs.ts';

const LATE = { readyWithin: 60_000 };

/** A member that has a job every few milliseconds while it may; so many of each hundred fail. */
async function member(t: Teardown, proxy: Proxy, version: string, name: string, failing: number | null): Promise<Worker> {
  const worker = await joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version, member: name });
  let over = false;
  const run = async (): Promise<void> => {
    for (let i = 0; !over && (await worker.mayTake()); i++) {
      if (failing === null) await sleep(20);
      else
        await worker
          .work(`job-${i}`, async () => {
            await sleep(2);
            if (i % 100 < failing) throw new Error('this job has failed');
          })
          .catch(() => undefined);
    }
  };
  const running = run();
  t.teardown(async () => {
    over = true;
    await worker.leave(0);
    await running;
  });
  return worker;
}

async function started(t: Teardown, failing: number | null, canary: Record<string, unknown> = {}): Promise<Proxy> {
  const jobs = workerUpstream({ versions: { v1: { members: 2 } }, canary }, { ttl: '10s' });
  const proxy = await Proxy.start(t, { dataThreads: 1, upstreams: { jobs } }, LATE);
  const old = await Promise.all([member(t, proxy, 'v1', 'v1-1', failing === null ? null : 0), member(t, proxy, 'v1', 'v1-2', failing === null ? null : 0)]);
  await Promise.all([member(t, proxy, 'v2', 'v2-1', failing), member(t, proxy, 'v2', 'v2-2', failing)]);
  await eventually('v1 runs', () => old.every(({ order }) => order === 'run'), 30_000);
  return proxy;
}

t.test('a version whose jobs fail is taken back by the verdict, one that is as good goes on', { timeout: 170_000 }, async (t) => {
  const proxy = await started(t, 30, { analysis: { extend: 60 } });
  const { code, stdout, stderr } = await proxy.cli(['swap', 'jobs', '--to', 'v2', '--members', '2', '--canary', '50', '--hold', '1m', '--analysis', 'on'], {
    deadline: 80_000,
  });
  t.equal(code, 1, stdout + stderr);
  t.match(stdout, /50 %: \d+ of \d+ jobs failed \(\d+ %\), of the versions before it 0 of \d+ jobs failed[^]*going back[^]*v2 did worse at weight 50/);
  const { steps } = (await proxy.admin('/v1/upstreams/jobs/swap')).json as SwapView;
  const judged = steps.find(({ name }) => name === 'judged')?.evidence as { incoming: { errors: number; requests: number }; latency: unknown[] } | undefined;
  t.ok((judged?.incoming.errors ?? 0) > 0 && (judged?.incoming.requests ?? 0) >= 50, 'the numbers are in the evidence');
  t.same(judged?.latency, []);
  t.match((await proxy.admin('/v1/upstreams/jobs')).json, { split: { v1: 100 } });

  await Promise.all([member(t, proxy, 'v3', 'v3-1', 0), member(t, proxy, 'v3', 'v3-2', 0)]);
  const good = await proxy.cli(['swap', 'jobs', '--to', 'v3', '--members', '2', '--hold', '1s', '--canary', '50'], { deadline: 80_000 });
  t.equal(good.code, 0, good.stdout + good.stderr);
  t.match(good.stdout, /50 %: no worse: 0 of \d+ jobs failed \(0 %\), of the versions before it 0 %[^]*all work on v3/, 'one that is as good goes on');
});

t.test('without jobs nothing is judged: the step is held longer, then paused for a person', { timeout: 120_000 }, async (t) => {
  const proxy = await started(t, null);
  const refused = await proxy.cli(['swap', 'jobs', '--to', 'v2', '--members', '2', '--canary', '50', '--hold', '500ms', '--p99-max', '1s']);
  t.match(refused, { code: 2, stderr: /p99MsMax[^]*not by how long jobs take/ });
  const args = ['--canary', '50', '--hold', '500ms', '--analysis', 'on', '--min-requests', '10'];
  const swap = proxy.cliProcess(['swap', 'jobs', '--to', 'v2', '--members', '2', ...args]);
  const paused = async (): Promise<boolean> => ((await proxy.admin('/v1/upstreams/jobs/swap')).json as SwapView).paused;
  await eventually('it is paused', paused, 60_000, 50);
  const { steps } = (await proxy.admin('/v1/upstreams/jobs/swap')).json as SwapView;
  t.match(steps.map(({ name }) => name).join(', '), /held longer, paused/);
  t.match(steps.find(({ name }) => name === 'paused')?.evidence, { reason: /too few jobs: 0 of the 10 needed/ });
  t.match(await proxy.cli(['promote', 'jobs']), { code: 0 });
  t.equal((await swap.wait(60_000)).code, 0, swap.stderr);
});
