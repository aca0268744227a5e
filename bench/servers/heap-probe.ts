/**
 * Loaded into every thread of the subject before its code (`node --import`): on SIGUSR2 the main thread asks all
 * threads what they have allocated since their start, and writes a line for each to standard error.
 */
import { getHeapStatistics } from 'node:v8';
import { isMainThread, threadId } from 'node:worker_threads';

/** The line of a thread, after `heap `. */
export interface HeapLine {
  readonly thread: number;
  /** Bytes allocated in the heap of V8. */
  readonly heap: number;
  /** Bytes of Buffers outside it, and how many were made. */
  readonly buffers: number;
  readonly count: number;
}

let buffers = 0;
let count = 0;

/** Counts the bytes that a maker of Buffers is asked for; those of a pool are outside the heap too. */
function counted(name: 'allocUnsafe' | 'allocUnsafeSlow'): void {
  const make = Buffer[name].bind(Buffer);
  Buffer[name] = (size: number) => {
    buffers += size;
    count++;
    return make(size);
  };
}

counted('allocUnsafe');
counted('allocUnsafeSlow');

const channel = new BroadcastChannel('heap-probe');
const line = (): HeapLine => ({ thread: threadId, heap: getHeapStatistics().total_allocated_bytes, buffers, count });

if (isMainThread) {
  channel.onmessage = (event: unknown) => process.stderr.write(`heap ${JSON.stringify((event as { data: HeapLine }).data)}\n`);
  process.on('SIGUSR2', () => {
    channel.postMessage(null);
  });
} else {
  channel.onmessage = (event: unknown) => {
    if ((event as { data: HeapLine | null }).data === null) channel.postMessage(line());
  };
}
channel.unref();
