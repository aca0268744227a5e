/** The configuration of an upstream of workers, in a hurry: the deadlines of a test, not of a business. */
export function workerUpstream(more: Record<string, unknown> = {}, worker: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'worker', worker: { ttl: '3s', stop: '500ms', ...worker }, drain: { requests: '10s' }, ...more };
}
