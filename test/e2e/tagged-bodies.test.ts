import t from 'tap';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { childEnv } from '../helpers/process.ts';
import { Proxy } from '../helpers/proxy.ts';
import { PLANS, COMPLETE } from '../helpers/tagged.ts';
import type { BackendReport, ClientReport, TaggedLoad } from '../helpers/tagged.ts';
import { settledCounts } from '../proxy/counts.ts';

const REQUESTS = 100_000;
const CONNECTIONS = 24;
const MIB = 1_048_576;
/** What heaps move by themselves; 2 KB kept of each request would be half as much again. */
const FLAT = 100 * MIB;
const seed = Date.now() % 1_000_000;

function helper(name: string, args: readonly string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(`../helpers/${name}.ts`, import.meta.url)), args, { env: childEnv(), execArgv: [] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

/** Runs one client; `progress` is told how many requests it has sent. */
function client(load: TaggedLoad, progress: (sent: number) => void): Promise<ClientReport> {
  const child = helper('tagged_clients', [JSON.stringify(load)]);
  return new Promise((resolve, reject) => {
    child.on('message', (message: number | ClientReport) => (typeof message === 'number' ? progress(message) : resolve(message)));
    child.on('exit', (code) => reject(new Error(`a client ended with ${code}`)));
  });
}

async function residentBytes(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;
}

t.test(`${REQUESTS} requests of two clients, with backends that fail in every way (seed ${seed})`, { timeout: 170_000 }, async (t) => {
  const backend = helper('tagged_backend', [String(seed), '3']);
  const [ports] = (await once(backend, 'message')) as [number[]];
  const proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{}],
        health: { kind: 'none' },
        outlier: { failures: 0 },
        timeouts: { dial: '2s', head: '1s', idle: '1s' },
        versions: { v1: { backends: ports.map((port) => `127.0.0.1:${port}`) } },
      },
    },
  });
  const began = performance.now();
  const memory: number[] = [];
  const sent = { A: 0, B: 0 };
  const measure = setInterval(() => {
    if (sent.A + sent.B > REQUESTS / 4) void residentBytes(proxy.process.pid).then((bytes) => memory.push(bytes));
  }, 500);
  const reports = await Promise.all(
    (['A', 'B'] as const).map((name, i) =>
      client({ port: proxy.port, name, connections: CONNECTIONS, requests: REQUESTS / 2, seed: seed + i + 1 }, (count) => (sent[name] = count)),
    ),
  );
  clearInterval(measure);
  const seconds = (performance.now() - began) / 1_000;
  backend.send('report');
  const [seen] = (await once(backend, 'message')) as [BackendReport];

  for (const { sent: asked, answered, plans, cut, unanswered, aborted, wrong } of reports) {
    t.comment(JSON.stringify({ asked, answered, cut, unanswered, aborted, plans }));
    t.strictSame(wrong, [], 'each client got its own bytes, and nothing incomplete that looked complete');
    const whole = Object.values(answered).reduce((sum, count) => sum + count, 0);
    t.equal(whole + cut + unanswered + aborted, asked, 'every request has an end');
    t.ok((answered[200] ?? 0) > asked * 0.6, `${answered[200]} of ${asked} were answered`);
    t.ok((answered[502] ?? 0) > 0 && (answered[504] ?? 0) > 0 && cut > 0, 'the faults were seen as such');
    t.strictSame(new Set(Object.keys(plans)), new Set(COMPLETE), 'every kind of answer that can be complete was');
  }
  t.comment(JSON.stringify(seen));
  t.strictSame(seen.wrong, [], 'the backends got whole requests with bodies of one tag');
  t.strictSame(new Set(Object.keys(seen.plans)), new Set(Object.keys(PLANS)), 'every fault was committed');
  const counts = await settledCounts(proxy);
  t.ok(counts.started >= seen.requests && counts.killed === 0 && counts.clientAborted > 0 && counts.upstreamFailed > 0, JSON.stringify(counts));
  // The least of a few: how far a heap grows between two collections says how busy the machine is.
  const grown = Math.min(...memory.slice(-4)) - Math.min(...memory.slice(0, 4));
  t.ok(grown < FLAT, `resident memory moved by ${Math.round(grown / MIB)} MiB over the last three quarters`);
  t.notMatch(proxy.output, /data thread/, 'no thread died');
  t.comment(`${Math.round(seconds)} s, ${Math.round(REQUESTS / seconds)} requests a second, ${Math.round(Math.max(...memory) / MIB)} MiB at most`);
});
