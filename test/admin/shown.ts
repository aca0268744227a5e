import type { FakeOperations } from '../helpers/fake-operations.ts';

/** A past with one change. */
export const remembered = (operations: FakeOperations): void => {
  const changes = [{ path: 'upstreams.web.limits.body', from: null, to: 5 }];
  operations.entries = [
    { id: 7, at: '2026-01-02T03:04:05.000Z', by: 'ann', via: 'api', kind: 'config', upstream: 'web', summary: 'web changed', changes, facts: {} },
  ];
};

/** One webhook. */
export const hooked = (operations: FakeOperations): void => {
  operations.hooks = [
    {
      name: 'ci',
      url: 'https://ci.example/…',
      events: ['live'],
      upstreams: null,
      pending: 1,
      oldestPendingAt: '2026-01-02T03:04:05.000Z',
      nextAttemptAt: null,
      delivered: 3,
      failedAttempts: 2,
      givenUp: 1,
      dead: 1,
      lastSuccessAt: null,
      lastErrorAt: null,
      lastError: null,
    },
  ];
};
