/**
 * `npm run bench:reloads [-- options]`: new TLS clients at a steady rate while the certificate is replaced over and over. Each handshake
 * has to succeed, with one of the two certificates; the tool fails when one does not. Subject on core 0; clients on core 1. `--help`
 * lists the options.
 */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { newCertificate } from './certificate.ts';
import type { Pair } from './certificate.ts';
import { machine } from './machine.ts';
import { start } from './measure.ts';
import type { Running } from './measure.ts';
import type { Processes } from './processes.ts';
import { aligned, median } from './report.ts';
import { number, tool } from './session.ts';
import { backend } from './subjects/backend.ts';
import { switchyardWith } from './subjects/switchyard.ts';

const CLIENTS = fileURLToPath(new URL('servers/handshakes.ts', import.meta.url));
const WARM_UP_MS = 1_000;
const RELOAD_WITHIN_MS = 10_000;
const END_WITHIN_MS = 15_000;

const HELP = `npm run bench:reloads -- [options]
  --reloads N     1 to 100000; default 1000
  --rate N        handshakes a second, 1 to 5000; default 500
  --pause MS      between two reloads, 0 to 60000; default 20
  --threads N     data threads, 1 to 16; default 2`;

interface Plan {
  readonly reloads: number;
  readonly rate: number;
  readonly pause: number;
  readonly threads: number;
}

/** What the clients saw. */
interface Seen {
  readonly handshakes: number;
  /** How many failed, by what they said. */
  readonly failed: Readonly<Record<string, number>>;
  /** That could not be begun in time, because so many others were under way. */
  readonly late: number;
  readonly seconds: number;
  /** Latencies in ms. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** Handshakes by certificate, as SHA-256. */
  readonly shown: Readonly<Record<string, number>>;
}

/** Null when help was asked for. Throws, in a line, when an option is wrong. */
function planOf(args: string[]): Plan | null {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const options = { reloads: text('1000'), rate: text('500'), pause: text('20'), threads: text('2') };
  const { values } = parseArgs({ args, options: { ...options, help: { type: 'boolean', default: false } } });
  if (values.help) return null;
  return {
    reloads: number('reloads', values.reloads, 1, 100_000, true),
    rate: number('rate', values.rate, 1, 5_000, true),
    pause: number('pause', values.pause, 0, 60_000, true),
    threads: number('threads', values.threads, 1, 16, true),
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function put(from: Pair, to: Pair): void {
  for (const [source, target] of [
    [from.cert, to.cert],
    [from.key, to.key],
  ]) {
    copyFileSync(source, `${target}.new`);
    renameSync(`${target}.new`, target);
  }
}

/** Has every thread show the certificate that lies there now. @returns how long that took, in ms. */
async function reload({ place }: Running, expected: string): Promise<number> {
  const began = performance.now();
  const url = `http://127.0.0.1:${place.sparePort}/v1/certificates/reload`;
  const response = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(RELOAD_WITHIN_MS) });
  const { certificates } = (await response.json()) as { certificates: { fingerprint: string; refused: string | null }[] };
  const [{ fingerprint, refused }] = certificates;
  if (fingerprint !== expected) throw new Error(`a good certificate was not taken: ${refused ?? 'no reason'}`);
  return performance.now() - began;
}

/** Replaces the certificate so many times while clients come. */
async function trial(plan: Plan, processes: Processes, running: Running, pairs: readonly Pair[]): Promise<{ took: number[]; seen: Seen }> {
  const fingerprints = pairs.map(({ cert }) => new X509Certificate(readFileSync(cert)).fingerprint256);
  const clients = processes.start(process.execPath, [CLIENTS, String(running.place.port), String(plan.rate), ...fingerprints], 'load', { asked: true });
  clients.stderr?.pipe(process.stderr);
  const lines = createInterface({ input: clients.stdout! });
  await pause(WARM_UP_MS);
  const took: number[] = [];
  for (let i = 1; i <= plan.reloads; i++) {
    put(pairs[i % 2], running.place.tls!);
    took.push(await reload(running, fingerprints[i % 2]));
    await pause(plan.pause);
  }
  clients.stdin?.end();
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(END_WITHIN_MS) })) as [string];
  return { took, seen: JSON.parse(line) as Seen };
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const { cpu, cores, kernel, node } = machine();
  console.log(
    `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}: ${plan.reloads} reloads under ${plan.rate} handshakes a second, ${plan.threads} data threads`,
  );
  const pairs: Pair[] = [];
  for (const name of ['current', 'one', 'other']) {
    mkdirSync(join(dir, name));
    pairs.push(await newCertificate(join(dir, name)));
  }
  const [tls, ...others] = pairs;
  put(others[0], tls);
  const behind = await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: '/small' });
  const subject = switchyardWith({ name: 'switchyard', threads: plan.threads });
  const running = await start(processes, subject, { backendPort: behind.place.port, parent: dir, core: 'subject', path: '/small', tls });
  const { took, seen } = await trial(plan, processes, running, others);
  const failed = Object.values(seen.failed).reduce((sum, one) => sum + one, 0);
  const shown = Object.values(seen.shown);
  const head = ['handshakes', 'a second', 'failed', 'late', 'p50 ms', 'p99 ms', 'longest', 'reload p50 ms', 'longest', 'shown'];
  const rate = (seen.handshakes / seen.seconds).toFixed(0);
  const times = [seen.p50, seen.p99, seen.longest, median(took), Math.max(...took)].map((ms) => ms.toFixed(1));
  console.log(`\n${aligned([head, [String(seen.handshakes), rate, String(failed), String(seen.late), ...times, shown.join(' + ')]])}`);
  for (const [reason, count] of Object.entries(seen.failed)) console.log(`${count} × ${reason}`);
  return failed === 0 && shown.length === 2 ? 0 : 1;
}

process.exitCode = await tool(planOf, HELP, bench);
