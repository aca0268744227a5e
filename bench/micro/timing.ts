import { getHeapStatistics } from 'node:v8';
import { median } from '../report.ts';
import type { Case } from './case.ts';

export interface Timed {
  readonly name: string;
  /** Median of the batches, in ns for one operation. */
  readonly ns: number;
  /** Lowest and highest batch. */
  readonly nsRange: readonly [number, number];
  /** Bytes allocated in the heap for one operation. */
  readonly bytes: number;
}

const BATCHES = 15;
/** The least of so many counts: compiling allocates too, now and then. */
const COUNTS = 5;

function timed(one: Case, times: number): number {
  const began = process.hrtime.bigint();
  const sum = one.run(times);
  const taken = Number(process.hrtime.bigint() - began);
  if (Number.isNaN(sum)) throw new Error(`${one.name} did not do its work`);
  return taken;
}

/** How many operations fill a batch; trying that out warms the code up. */
function batchOf(one: Case, batchMs: number): number {
  let times = 64;
  for (let taken = timed(one, times); taken < batchMs * 1e6; taken = timed(one, times)) times *= 2;
  for (let i = 0; i < 3; i++) timed(one, times);
  return times;
}

function allocated(one: Case, times: number): number {
  const before = getHeapStatistics().total_allocated_bytes;
  one.run(times);
  return (getHeapStatistics().total_allocated_bytes - before) / times;
}

/** @param batchMs length of a batch in milliseconds; the median of 15 is taken. */
export function measureCase(one: Case, batchMs: number): Timed {
  const times = batchOf(one, batchMs);
  const batches = Array.from({ length: BATCHES }, () => timed(one, times) / times);
  const bytes = Math.min(...Array.from({ length: COUNTS }, () => allocated(one, times)));
  return { name: one.name, ns: median(batches), nsRange: [Math.min(...batches), Math.max(...batches)], bytes };
}
