// One worker of a BullMQ queue, swapped by Switchyard: npm install switchyard bullmq ioredis
//
// Who it is comes from the environment: SWITCHYARD_ADMIN_URL, SWITCHYARD_TOKEN, SWITCHYARD_UPSTREAM, SWITCHYARD_VERSION, SWITCHYARD_MEMBER.
import { Worker, WaitingError } from 'bullmq';
import { Redis } from 'ioredis';
import { joinWorkers } from 'switchyard/worker';

const { QUEUE = 'jobs', REDIS_HOST = '127.0.0.1', REDIS_PORT = '6379', CONCURRENCY = '10' } = process.env;
const connection = { host: REDIS_HOST, port: Number(REDIS_PORT), maxRetriesPerRequest: null };
const redis = new Redis(connection);

/** The work: what took which job, by which order, and how often the job was done, for anybody to check. */
async function handle(job) {
  const { member, version, order, generation } = worker;
  await redis.rpush('started', JSON.stringify({ job: job.id, member, version, order, generation, at: Date.now() }));
  await new Promise((resolve) => setTimeout(resolve, job.data.ms));
  await redis.hincrby('done', job.id, 1);
}

const worker = await joinWorkers();
worker.on('problem', (error) => console.error(`${worker.member}: ${error.message}`));

const leases = new Map();
const consumer = new Worker(
  QUEUE,
  async (job, token) => {
    const lease = worker.tryBegin(job.id);
    if (lease === null) {
      // It was taken from the queue while the order changed: back it goes, for whoever may run it.
      await job.moveToWait(token);
      throw new WaitingError();
    }
    leases.set(job.id, lease);
    await handle(job);
  },
  { connection, concurrency: Number(CONCURRENCY), autorun: false },
);

// A lease ends when the queue knows that the job has: from then on this process may be killed without the job being done twice.
const end = (job, outcome) => {
  leases.get(job?.id)?.end(outcome);
  leases.delete(job?.id);
};
consumer.on('completed', (job) => end(job, 'completed'));
consumer.on('failed', (job) => end(job, 'failed'));
consumer.on('error', (error) => console.error(`${worker.member}: ${error.message}`));

let begun = false;
function run() {
  if (begun) void consumer.resume();
  else void consumer.run();
  begun = true;
}
worker.on('run', run);
worker.on('quiesce', () => begun && void consumer.pause(true));
if (worker.order === 'run') run();

async function leave() {
  await worker.leave(25_000);
  await consumer.close();
  redis.disconnect();
}
worker.once('stop', () => void leave());
process.once('SIGTERM', () => void leave());
console.log(`${worker.member} of ${worker.version} has joined`);
