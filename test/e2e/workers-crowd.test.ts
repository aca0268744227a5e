import { Agent, request } from 'node:http';
import t from 'tap';
import type { MemberView, VersionView } from '../../src/control/operations.ts';
import { joinWorkers } from '../../src/worker/client.ts';
import type { Worker } from '../../src/worker/client.ts';
import type { OrderView } from '../../src/members/report.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { workerUpstream } from '../helpers/worker-jobs.ts';

const BY_HAND = 50;
const CLIENTS = 10;

/** Members that report by hand, all of them in one round. */
class Crowd {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 20 });
  private readonly members: { readonly name: string; readonly version: string; life: number; generation: number; order: string }[];
  private readonly port: number;

  constructor(port: number, version: string, count: number) {
    this.port = port;
    this.members = Array.from({ length: count }, (_, i) => ({ name: `${version}-${i + 1}`, version, life: 1, generation: 0, order: 'none' }));
  }

  get orders(): Set<string> {
    return new Set(this.members.map(({ order }) => order));
  }

  /** Who is not known any more begins another life, as one has to. */
  async round(): Promise<this> {
    await Promise.all(
      this.members.map(async (member) => {
        const { name, version, generation, life } = member;
        const { status, said } = await this.put(name, { version, instance: `life-${life}`, generation, done: { completed: generation > 0 ? 1 : 0 } });
        if (status === 410) Object.assign(member, { life: life + 1, generation: 0, order: 'none' });
        else if (status === 200) Object.assign(member, { generation: said.generation, order: said.order });
        else throw new Error(`${name} was answered ${status}`);
      }),
    );
    return this;
  }

  private put(name: string, report: unknown): Promise<{ status: number; said: OrderView }> {
    return new Promise((resolve, reject) => {
      const asked = request({ port: this.port, method: 'PUT', path: `/v1/upstreams/jobs/members/${name}`, agent: this.agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (more: string) => (text += more));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, said: JSON.parse(text) as OrderView }));
      });
      asked.on('error', reject);
      asked.end(JSON.stringify(report));
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

t.test('a crowd of workers is swapped, told of in short, and counted in few series', { timeout: 120_000 }, async (t) => {
  const size = BY_HAND + CLIENTS;
  const jobs = workerUpstream({ versions: { v1: { members: size } } }, { ttl: '30s', maxMembers: 2 * BY_HAND + CLIENTS });
  const proxy = await Proxy.start(t, { dataThreads: 1, upstreams: { jobs } }, { readyWithin: 60_000 });
  const [one, two] = [new Crowd(proxy.adminPort, 'v1', BY_HAND), new Crowd(proxy.adminPort, 'v2', BY_HAND)];
  const clients: Worker[] = [];
  t.teardown(async () => {
    one.close();
    two.close();
    await Promise.all(clients.map((worker) => worker.leave(0)));
  });
  const join = async (_: unknown, i: number): Promise<void> => {
    clients.push(await joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version: 'v1', member: `client-${i}` }));
  };
  await Promise.all([...Array.from({ length: CLIENTS }, join), one.round()]);
  await eventually(
    'all of v1 run',
    async () => (await one.round()).orders.has('run') && one.orders.size === 1 && clients.every(({ order }) => order === 'run'),
  );
  await two.round();
  await t.rejects(joinWorkers({ admin: proxy.adminUrl, upstream: 'jobs', version: 'v2', member: 'one-more', joinTimeout: 3_000 }), /110 members already/);
  const { stdout: status } = await proxy.cli(['status', 'jobs']);
  t.match(status, /60 members: 60 ready; 60 run; 0 leases in hand/);
  t.ok(status.split('\n').length < 60, status);
  const swap = proxy.cliProcess(['swap', 'jobs', '--to', 'v2', '--members', String(BY_HAND), '--admission-timeout', '60s', '--timeout', '60s']);
  await eventually(
    'v1 is released',
    async () => {
      await Promise.all([one.round(), two.round()]);
      return (await proxy.admin('/v1/upstreams/jobs/versions/v1/receipt')).status === 200;
    },
    60_000,
  );
  await eventually('they are told so', async () => {
    await Promise.all([one.round(), two.round()]);
    return one.orders.has('stop') && one.orders.size === 1 && two.orders.has('run') && two.orders.size === 1 && clients.every(({ order }) => order === 'stop');
  });
  t.equal((await swap.wait(30_000)).code, 0, swap.stderr);
  t.match(swap.stdout, /\(members: \d+ at \d+(, \d+ at \d+)*\)/, 'not each by its name');
  const series = (await proxy.admin('/metrics')).text.split('\n').filter((line) => line.includes('upstream="jobs"'));
  t.ok(series.length < 60, `${series.length} series`);
  t.match(series.join('\n'), /switchyard_reports_refused_total\{upstream="jobs",reason="full"\} [1-9]/);
});

t.test('a crowd that vanishes is counted as lost and comes back', { timeout: 120_000 }, async (t) => {
  const proxy = await Proxy.start(
    t,
    { upstreams: { jobs: workerUpstream({ versions: { v1: { members: BY_HAND } } }, { ttl: '4s' }) } },
    { readyWithin: 60_000 },
  );
  const crowd = new Crowd(proxy.adminPort, 'v1', BY_HAND);
  t.teardown(() => crowd.close());
  const allRun = async (): Promise<boolean> => (await crowd.round()).orders.has('run') && crowd.orders.size === 1;
  await eventually('all run', allRun, 30_000);
  const members = async (): Promise<MemberView[]> => (await proxy.admin('/v1/upstreams/jobs/members')).json as MemberView[];
  await eventually('all are presumed dead', async () => (await members()).length === 0, 30_000, 100);
  t.match((await proxy.cli(['explain', 'jobs'])).stdout, /v1-1[^]*no report for 4 s[^]*and 40 more/);
  await eventually('all run again', allRun, 30_000);
  const { members: there } = (await proxy.admin('/v1/upstreams/jobs/versions/v1')).json as VersionView;
  t.equal(there.length, BY_HAND);
  const [, lost] = /switchyard_members_lost_total\{upstream="jobs"\} (\d+)/.exec((await proxy.admin('/metrics')).text) ?? [];
  t.ok(Number(lost) >= BY_HAND, lost);
});
