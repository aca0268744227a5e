/**
 * A crowd of queue workers in one process, for `bench/members.ts`. Two groups of them take turns: while one works the other waits for the
 * next version, and a group that is told to stop comes back as the one after that. Some use the client `switchyard/worker` and have jobs
 * all the time, the others report by hand at the interval that they are asked for. Once all of them are known it prints a line. Arguments:
 * port of the admin API, members of a group, share of them that use the client.
 */
import { Agent, request } from 'node:http';
import { joinWorkers } from '../../src/worker/client.ts';
import type { Told } from '../../src/worker/standing.ts';

const [port, size, share] = process.argv.slice(2, 5).map(Number);
const clients = Math.round(size * share);
const JOB_MS = 200;
const AGAIN_MS = 500;
const agent = new Agent({ keepAlive: true });

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function useClient(version: string, member: string, known: () => void): Promise<void> {
  const worker = await joinWorkers({ admin: `http://127.0.0.1:${port}`, upstream: 'jobs', version, member, joinTimeout: 120_000 });
  known();
  while (await worker.mayTake()) {
    const lease = worker.tryBegin('job');
    await pause(JOB_MS * (0.5 + Math.random()));
    lease?.end();
  }
  await worker.leave(1_000);
}

function report(member: string, body: unknown): Promise<{ status: number; told: Told }> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const asked = request(
      { port, host: '127.0.0.1', method: 'PUT', path: `/v1/upstreams/jobs/members/${member}`, agent, headers, timeout: 10_000 },
      (answer) => {
        let said = '';
        answer.setEncoding('utf8').on('data', (more: string) => (said += more));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, told: JSON.parse(said) as Told }));
        answer.on('error', reject);
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('late')));
    asked.on('error', reject);
    asked.end(text);
  });
}

async function byHand(version: string, member: string, known: () => void): Promise<void> {
  let generation = 0;
  for (let life = 0, order = ''; order !== 'stop';) {
    const { status, told } = await report(member, { version, instance: `life-${life}`, generation, leases: order === 'run' ? 1 : 0 }).catch(() => ({
      status: 0,
      told: null,
    }));
    if (status === 410) life++;
    if (told === null || status !== 200) {
      await pause(AGAIN_MS * (0.5 + Math.random()));
      continue;
    }
    known();
    const isNews = told.order !== order;
    ({ generation, order } = told);
    if (!isNews) await pause(told.reportWithin);
  }
}

async function live(place: number, group: number, known: () => void): Promise<never> {
  for (let number = group; ; number += 2) {
    const version = `v${number}`;
    await (place <= clients ? useClient : byHand)(version, `${version}-${place}`, known);
  }
}

const all: Promise<void>[] = [];
for (const group of [1, 2])
  for (let place = 1; place <= size; place++)
    all.push(
      new Promise((resolve, reject) => {
        live(place, group, resolve).catch(reject);
      }),
    );
await Promise.all(all);
console.log('joined');
