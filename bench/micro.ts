/**
 * `npm run bench:micro`: what the parts of the hot path take, in ns and in bytes allocated for one operation, and what
 * the running data thread allocates for one request on a kept connection. Steadier than any measurement with sockets.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { allocations } from './allocation.ts';
import type { Allocation } from './allocation.ts';
import { machine } from './machine.ts';
import { choiceCases } from './micro/choice.ts';
import { codecCases } from './micro/codec.ts';
import { measureCase } from './micro/timing.ts';
import type { Timed } from './micro/timing.ts';
import type { Processes } from './processes.ts';
import { aligned } from './report.ts';
import { number, tool } from './session.ts';

const HELP = `npm run bench:micro -- [options]
  --batch N          milliseconds of a batch of operations, 1 to 1000; default 20 (the median of 15 batches counts)
  --requests N       through the running proxy, 100 to 1000000; default 30000
  --json FILE        writes the figures there too`;

interface Options {
  readonly batch: number;
  readonly requests: number;
  readonly json: string | null;
}

function optionsOf(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      batch: { type: 'string', default: '20' },
      requests: { type: 'string', default: '30000' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    batch: number('batch', values.batch, 1, 1_000, true),
    requests: number('requests', values.requests, 100, 1_000_000, true),
    json: values.json ?? null,
  };
}

function timedTable(all: readonly Timed[]): string {
  const rows = all.map(({ name, ns, nsRange, bytes }) => [name, ns.toFixed(1), `${nsRange[0].toFixed(1)}–${nsRange[1].toFixed(1)}`, bytes.toFixed(0)]);
  return aligned([['one operation', 'ns', 'range', 'bytes'], ...rows]);
}

function allocationTable(all: readonly Allocation[]): string {
  const rows = all.map(({ scenario, heap, buffers, count }) => [scenario, heap.toFixed(0), buffers.toFixed(0), count.toFixed(2)]);
  return aligned([['one request through the data thread', 'bytes in the heap', 'bytes of Buffers outside', 'Buffers'], ...rows]);
}

async function micro(options: Options, processes: Processes, dir: string): Promise<number> {
  const here = machine();
  console.log(`${here.cpu}, Node ${here.node}\n`);
  const timed = [...codecCases(), ...choiceCases()].map((one) => measureCase(one, options.batch));
  console.log(`${timedTable(timed)}\n`);
  const allocated = await allocations(processes, dir, ['small', 'browser', '1kb', 'upload-30kb'], options.requests);
  console.log(allocationTable(allocated));
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ machine: here, timed, allocated }, null, 2)}\n`);
  return 0;
}

process.exitCode = await tool(optionsOf, HELP, micro);
