import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import t from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { Proxy } from '../helpers/proxy.ts';
import { projectWithPackage } from '../helpers/published.ts';
import { startRedis } from '../helpers/redis.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';
import { workerUpstream } from '../helpers/worker-jobs.ts';

const JOBS = 10_000;
const SWAPS = 5;
const MEMBERS = 2;

interface Start {
  job: string;
  member: string;
  version: string;
  order: string;
  generation: number;
  at: number;
}

/** The example's consumers, one process for each member of a version. */
function employ(t: Teardown, folder: string, proxy: Proxy, redis: number, version: string): NodeProcess[] {
  return Array.from({ length: MEMBERS }, (_, i) => {
    const env = {
      REDIS_PORT: String(redis),
      CONCURRENCY: '16',
      SWITCHYARD_ADMIN_URL: proxy.adminUrl,
      SWITCHYARD_UPSTREAM: 'jobs',
      SWITCHYARD_VERSION: version,
      SWITCHYARD_MEMBER: `${version}-${i + 1}`,
    };
    const child = new NodeProcess([join(folder, 'consumer.js')], { cwd: folder, env });
    t.teardown(() => child.stop('SIGKILL'));
    return child;
  });
}

async function swapped(proxy: Proxy, to: string): Promise<SwapView> {
  const { json } = await proxy.admin('/v1/upstreams/jobs/swap', { body: { to, members: MEMBERS } });
  const { id } = json as SwapView;
  const seen = async (): Promise<SwapView | null> => {
    const swap = (await proxy.admin(`/v1/swaps/${id}`)).json as SwapView;
    return swap.finished ? swap : null;
  };
  return eventually(`the swap to ${to}`, seen, 60_000, 25);
}

/** The generation from which a version had no work any more, and when it was drained; null = it is live. */
function endOf(swap: SwapView | undefined): { generation: number; drainedAt: number } | null {
  if (swap === undefined) return null;
  const step = (name: string): SwapView['steps'][number] | undefined => swap.steps.find((one) => one.name === name);
  return { generation: Number(step('draining')?.evidence.generation), drainedAt: Date.parse(step('drained')?.at ?? '') };
}

t.test(
  `${JOBS} jobs of a real Redis, ${SWAPS} swaps of their workers: each done once, none begun by who was told to quiesce`,
  { timeout: 175_000 },
  async (t) => {
    const [folder, redisPort] = await Promise.all([projectWithPackage(t, 'bullmq', 'ioredis'), startRedis(t)]);
    await copyFile(join(ROOT, 'docs/examples/worker/consumer.js'), join(folder, 'consumer.js'));
    const proxy = await Proxy.start(t, { upstreams: { jobs: workerUpstream({ versions: { v1: { members: MEMBERS } } }, { ttl: '10s' }) } });
    const connection = { host: '127.0.0.1', port: redisPort, maxRetriesPerRequest: null };
    const queue = new Queue('jobs', { connection });
    const redis = new Redis(connection);
    t.teardown(async () => {
      await queue.close();
      redis.disconnect();
    });
    const jobs = Array.from({ length: JOBS }, (_, i) => ({ name: 'job', data: { ms: 5 + (i % 10) }, opts: { jobId: `j${i}`, removeOnComplete: true } }));
    const share = Math.ceil(JOBS / (SWAPS + 1));
    const done = (): Promise<number> => redis.hlen('done');

    let processes = employ(t, folder, proxy, redisPort, 'v1');
    const swaps: SwapView[] = [];
    for (let n = 1; n <= SWAPS + 1; n++) {
      const part = jobs.slice((n - 1) * share, n * share);
      await queue.addBulk(part.slice(0, share / 2));
      if (n > SWAPS) {
        await queue.addBulk(part.slice(share / 2));
        break;
      }
      const next = employ(t, folder, proxy, redisPort, `v${n + 1}`);
      await eventually(`v${n + 1} is there`, () => next.every(({ stdout }) => stdout.includes('has joined')), 60_000);
      // What comes now is still being done when the order changes.
      await queue.addBulk(part.slice(share / 2));
      swaps.push(await swapped(proxy, `v${n + 1}`));
      for (const child of processes) t.equal((await child.wait(60_000)).code, 0, `the process was told to stop and has: ${child.stderr}`);
      processes = next;
    }
    await eventually('all jobs', async () => (await done()) === JOBS, 120_000, 50);

    const times = await redis.hgetall('done');
    t.equal(Object.keys(times).length, JOBS);
    t.same(
      Object.entries(times).filter(([, count]) => count !== '1'),
      [],
      'each job was done exactly once',
    );
    const starts = (await redis.lrange('started', 0, -1)).map((line) => JSON.parse(line) as Start);
    t.equal(starts.length, JOBS, 'and begun exactly once');
    t.same(
      starts.filter(({ order }) => order !== 'run'),
      [],
      'always under the order to run',
    );
    const late = starts.filter(({ version, generation, at }) => {
      const end = endOf(swaps[Number(version.slice(1)) - 1]);
      return end !== null && (generation >= end.generation || at > end.drainedAt);
    });
    t.same(late, [], 'none by a generation in which its version had no work any more, and none after it was drained');
    let taken = 0;
    for (let n = 1; n <= SWAPS; n++) {
      const { kind, counts, acks, generation } = (await proxy.admin(`/v1/upstreams/jobs/versions/v${n}/receipt`)).json as Receipt;
      t.equal(kind, 'worker');
      t.equal(counts.started, starts.filter(({ version }) => version === `v${n}`).length, `the receipt of v${n} counts what it began`);
      t.equal(counts.started, counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed);
      t.equal(counts.killed, 0);
      t.ok(
        Array.from({ length: MEMBERS }, (_, i) => acks[`v${n}-${i + 1}`]).every((ack) => ack >= generation),
        'each of its members has acknowledged that',
      );
      taken += counts.started;
    }
    const last = async (): Promise<number> => ((await proxy.admin('/v1/upstreams/jobs')).json as UpstreamView).versions[0].counts.completed;
    await eventually('the receipts and the last version add up to all jobs', async () => taken + (await last()) === JOBS, 30_000, 50);
    t.ok(swaps.every(({ state }) => state === 'done'));
  },
);
