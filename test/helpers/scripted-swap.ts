/** The steps of a swap from v1 to v2, as fake operations take them. */
import { receiptOf } from './fake-operations.ts';
import type { FakeOperations } from './fake-operations.ts';

export const healthy = { healthy: 2, of: 2 };

export function cutover(operations: FakeOperations): void {
  operations.step('admitted', { state: 'standby' }, { version: 'v2', ...healthy });
  operations.step('live', { state: 'draining', weight: 100 }, { version: 'v2', generation: 9, ...healthy });
  operations.step('draining', {}, { version: 'v1', inFlight: 3, streams: 0, tunnels: 1 });
}

export function finish(operations: FakeOperations, killed = 0): void {
  const receipt = receiptOf('v1', killed);
  operations.step('drained', {}, { version: 'v1', drainMs: 200, ...receipt.counts });
  operations.step('released', { state: 'done', finished: true, receipt, killed }, { version: 'v1', receipt });
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
