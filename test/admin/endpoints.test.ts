import t from 'tap';
import { z } from 'zod';
import { ENDPOINTS } from '../../src/admin/endpoints.ts';
import { receiptOf, versionView } from '../helpers/fake-operations.ts';
import { hooked, remembered } from './shown.ts';
import type { FakeOperations } from '../helpers/fake-operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';

interface Case {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly status: number;
  readonly before?: (operations: FakeOperations) => void;
  readonly call?: { name: string; args: unknown[] };
  readonly headers?: Record<string, string>;
}

const BY = 'admin@127.0.0.1';
const backends = [
  { address: '127.0.0.1:9003', weight: 1 },
  { address: '[::1]:9004', weight: 2 },
];
const running = (operations: FakeOperations): void => {
  operations.web.swap = {
    id: 'swap-1',
    upstream: 'web',
    kind: 'swap',
    upstreamKind: 'web',
    from: 'v1',
    to: 'v2',
    state: 'cutting-over',
    paused: false,
    finished: false,
    killed: 0,
    weight: 5,
    requestedBy: 'test',
    reason: null,
    stageEndsAt: null,
    verdict: null,
    gate: null,
    steps: [{ name: 'requested', at: '2026-01-02T03:04:05.000Z', evidence: { by: 'test' } }],
    stopping: [],
    receipt: receiptOf('v1'),
  };
};

const showing = (operations: FakeOperations): void => {
  operations.shown = [
    {
      listener: '0.0.0.0:443',
      names: ['a.example'],
      subject: 'CN=a.example',
      issuer: 'CN=test',
      notBefore: '2026-01-02T03:04:05.000Z',
      notAfter: '2027-01-02T03:04:05.000Z',
      fingerprint: 'AA:BB',
      keyType: 'EC P-256',
      file: 'a.pem',
      loadedAt: '2026-01-02T03:04:05.000Z',
      triedAt: '2026-01-02T03:04:05.000Z',
      refused: 'a.pem is damaged',
      acme: { directory: 'https://ca.example/dir', state: 'issued', problem: null, failures: 0, nextAt: '2026-01-01T00:00:00.000Z' },
    },
  ];
};

const CASES: readonly Case[] = [
  { id: 'listCertificates', method: 'GET', path: '/v1/certificates', status: 200, before: showing },
  {
    id: 'reloadCertificates',
    method: 'POST',
    path: '/v1/certificates/reload',
    status: 200,
    before: showing,
    call: { name: 'reloadCertificates', args: [BY] },
  },
  { id: 'getConfig', method: 'GET', path: '/v1/config', status: 200, headers: { etag: '"4"' } },
  {
    id: 'planConfig',
    method: 'POST',
    path: '/v1/config/plan?prune=true',
    body: { upstreams: {} },
    status: 200,
    call: { name: 'planConfig', args: [{ upstreams: {} }, true] },
  },
  {
    id: 'putConfig',
    method: 'PUT',
    path: '/v1/config',
    body: { upstreams: {} },
    status: 200,
    headers: { etag: '"4"' },
    call: { name: 'applyConfig', args: [{ upstreams: {} }, false, BY] },
  },
  { id: 'listHistory', method: 'GET', path: '/v1/history?upstream=web&limit=3', status: 200, before: remembered },
  { id: 'getChange', method: 'GET', path: '/v1/history/7', status: 200, before: remembered },
  { id: 'undo', method: 'POST', path: '/v1/undo', body: { to: 3 }, status: 200, call: { name: 'undo', args: [3, BY] } },
  { id: 'listWebhooks', method: 'GET', path: '/v1/webhooks', status: 200, before: hooked },
  {
    id: 'redeliverWebhook',
    method: 'POST',
    path: '/v1/webhooks/ci/redeliver',
    status: 200,
    before: hooked,
    call: { name: 'redeliver', args: ['ci'] },
  },
  { id: 'listUpstreams', method: 'GET', path: '/v1/upstreams', status: 200, before: running },
  { id: 'getUpstream', method: 'GET', path: '/v1/upstreams/web', status: 200, headers: { etag: '"7"' } },
  {
    id: 'putUpstream',
    method: 'PUT',
    path: '/v1/upstreams/web',
    body: { routes: [] },
    status: 200,
    call: { name: 'putUpstream', args: [{ routes: [] }, BY] },
    headers: { etag: '"8"' },
  },
  { id: 'putUpstream', method: 'PUT', path: '/v1/upstreams/api', body: {}, status: 201, headers: { location: '/v1/upstreams/api', etag: '"1"' } },
  { id: 'deleteUpstream', method: 'DELETE', path: '/v1/upstreams/web', status: 204, call: { name: 'deleteUpstream', args: [BY] } },
  { id: 'listVersions', method: 'GET', path: '/v1/upstreams/web/versions', status: 200 },
  { id: 'getVersion', method: 'GET', path: '/v1/upstreams/web/versions/v1', status: 200 },
  { id: 'getVersion', method: 'GET', path: '/v1/upstreams/web/versions/v1?wait=live&timeout=5s', status: 200 },
  { id: 'getVersion', method: 'GET', path: '/v1/upstreams/web/versions/v1?wait=released&timeout=20ms', status: 202 },
  {
    id: 'registerVersion',
    method: 'POST',
    path: '/v1/upstreams/web/versions',
    body: { id: 'v2', backends: ['127.0.0.1:9003', { address: '[::1]:9004', weight: 2 }] },
    status: 201,
    call: { name: 'register', args: [{ id: 'v2', backends }, BY] },
    headers: { location: '/v1/upstreams/web/versions/v2' },
  },
  { id: 'registerVersion', method: 'POST', path: '/v1/upstreams/web/versions', body: { id: 'v1', backends: ['h:1'] }, status: 200 },
  { id: 'removeVersion', method: 'DELETE', path: '/v1/upstreams/web/versions/v1', status: 202, call: { name: 'removeVersion', args: ['v1', BY] } },
  {
    id: 'startSwap',
    method: 'POST',
    path: '/v1/upstreams/web/swap',
    status: 202,
    headers: { location: '/v1/swaps/swap-1' },
    body: {
      to: 'v2',
      backends: [{ address: '127.0.0.1:9003' }],
      strategy: { canary: [{ weight: 5, hold: '30s' }, { weight: 50 }, { weight: 60, hold: null }] },
      admission: { timeout: 500, minReady: 1 },
      drain: { requests: '1m', tunnels: '1h' },
      rollback: { keep: '10m' },
    },
    call: {
      name: 'swap',
      args: [
        {
          to: 'v2',
          backends: [{ address: '127.0.0.1:9003', weight: 1 }],
          canary: [
            { weight: 5, hold: 30_000 },
            { weight: 50, hold: null },
            { weight: 60, hold: null },
          ],
          admission: { timeout: 500, minReady: 1 },
          drain: { requests: 60_000, tunnels: 3_600_000 },
          keep: 600_000,
        },
        BY,
      ],
    },
  },
  { id: 'startSwap', method: 'POST', path: '/v1/upstreams/web/swap', body: { to: 'v2' }, status: 202, call: { name: 'swap', args: [{ to: 'v2' }, BY] } },
  { id: 'startSwap', method: 'POST', path: '/v1/upstreams/web/swap', body: { to: 'v1' }, status: 200 },
  {
    id: 'startSwap',
    method: 'POST',
    path: '/v1/upstreams/web/swap',
    body: { to: 'v2', dryRun: true },
    status: 200,
    call: { name: 'planSwap', args: [{ to: 'v2' }, BY] },
  },
  {
    id: 'startDeploy',
    method: 'POST',
    path: '/v1/upstreams/web/deploy',
    body: { version: 'v2', launch: { command: ['node', 'server.js'] }, strategy: { canary: [{ weight: 5 }] }, rollback: { keep: '10m' } },
    status: 202,
    headers: { location: '/v1/deploys/deploy-1' },
    call: {
      name: 'deploy',
      args: [{ version: 'v2', launch: { command: ['node', 'server.js'] }, swap: { canary: [{ weight: 5, hold: null }], keep: 600_000 } }, BY],
    },
  },
  { id: 'startDeploy', method: 'POST', path: '/v1/upstreams/web/deploy', body: { version: 'v1' }, status: 200 },
  { id: 'startDeploy', method: 'POST', path: '/v1/upstreams/web/deploy', body: { version: 'v3', dryRun: true }, status: 200 },
  { id: 'getDeploy', method: 'GET', path: '/v1/deploys/deploy-1?wait=1s', status: 200 },
  { id: 'getLogs', method: 'GET', path: '/v1/upstreams/web/versions/v1/logs?replica=1&lines=5', status: 200 },
  { id: 'promoteSwap', method: 'POST', path: '/v1/upstreams/web/swap/promote', status: 200, before: running, call: { name: 'promote', args: [BY] } },
  { id: 'pauseSwap', method: 'POST', path: '/v1/upstreams/web/swap/pause', body: {}, status: 200, before: running, call: { name: 'pause', args: [BY] } },
  { id: 'resumeSwap', method: 'POST', path: '/v1/upstreams/web/swap/resume', status: 200, before: running, call: { name: 'resume', args: [BY] } },
  { id: 'abortSwap', method: 'POST', path: '/v1/upstreams/web/swap/abort', status: 200, before: running, call: { name: 'abort', args: [BY] } },
  {
    id: 'rollback',
    method: 'POST',
    path: '/v1/upstreams/web/rollback',
    status: 202,
    call: { name: 'rollback', args: [null, BY] },
    headers: { location: '/v1/swaps/swap-1' },
  },
  { id: 'rollback', method: 'POST', path: '/v1/upstreams/web/rollback', body: { to: 'v0' }, status: 202, call: { name: 'rollback', args: ['v0', BY] } },
  {
    id: 'setSplit',
    method: 'PUT',
    path: '/v1/upstreams/web/split',
    body: { v1: 90, v2: 10, v0: 0 },
    status: 200,
    call: { name: 'setSplit', args: [{ v1: 90, v2: 10 }, BY] },
  },
  { id: 'holdUpstream', method: 'POST', path: '/v1/upstreams/web/hold', status: 200, call: { name: 'hold', args: [true, BY] }, headers: { etag: '"8"' } },
  { id: 'unholdUpstream', method: 'POST', path: '/v1/upstreams/web/unhold', status: 200, call: { name: 'hold', args: [false, BY] } },
  {
    id: 'drainBackend',
    method: 'POST',
    path: '/v1/upstreams/web/backends/%5B::1%5D:9001/drain',
    status: 200,
    call: { name: 'drainBackend', args: ['[::1]:9001', BY] },
  },
  { id: 'lastSwap', method: 'GET', path: '/v1/upstreams/web/swap', status: 200, before: running },
  { id: 'getSwap', method: 'GET', path: '/v1/swaps/swap-1', status: 200, before: running },
  { id: 'getSwap', method: 'GET', path: '/v1/swaps/swap-1?after=1&timeout=20ms', status: 202, before: running },
  {
    id: 'getReceipt',
    method: 'GET',
    path: '/v1/upstreams/web/versions/v0/receipt',
    status: 200,
    before: (operations) => void operations.receipts.set('v0', receiptOf('v0')),
  },
  { id: 'explainVersion', method: 'GET', path: '/v1/upstreams/web/versions/v1/explain', status: 200 },
  { id: 'explainUpstream', method: 'GET', path: '/v1/upstreams/web/explain?version=v1', status: 200 },
  { id: 'openApi', method: 'GET', path: '/v1/openapi.json', status: 200 },
  { id: 'metrics', method: 'GET', path: '/metrics', status: 200, headers: { 'content-type': 'text/plain; version=0.0.4' } },
  { id: 'live', method: 'GET', path: '/livez', status: 200 },
  { id: 'ready', method: 'GET', path: '/readyz', status: 200 },
  {
    id: 'ready',
    method: 'GET',
    path: '/readyz',
    status: 503,
    before: (operations) => {
      operations.isReady = false;
    },
    headers: { 'retry-after': '1' },
  },
  { id: 'hint', method: 'GET', path: '/', status: 200 },
  { id: 'listMembers', method: 'GET', path: '/v1/upstreams/web/members', status: 200 },
  {
    id: 'reportMember',
    method: 'PUT',
    path: '/v1/upstreams/web/members/v1-1?wait=5s',
    body: { version: 'v1', instance: 'i', seq: 3, busy: true, leases: ['a', 'b'], done: { completed: 2 }, generation: 8, order: 'run' },
    status: 200,
    call: {
      name: 'report',
      args: [
        'web',
        'v1-1',
        {
          version: 'v1',
          instance: 'i',
          seq: 3,
          inHand: 2,
          names: ['a', 'b'],
          ready: true,
          done: { completed: 2, failed: 0, aborted: 0 },
          generation: 8,
          order: 'run',
        },
      ],
    },
  },
  {
    id: 'leaveMember',
    method: 'DELETE',
    path: '/v1/upstreams/web/members/v1-1?instance=i',
    status: 204,
    call: { name: 'leave', args: ['web', 'v1-1', 'i'] },
  },
];

t.test('every endpoint does what it should and answers in its shape', async (t) => {
  for (const { id, method, path, body, status, before, call, headers = {} } of CASES) {
    const admin = await testAdmin(t);
    before?.(admin.operations);
    const reply = await admin.ask(method, path, body);
    const name = `${method} ${path}`;
    t.equal(reply.status, status, `${name} answers ${status}: ${reply.text.slice(0, 200)}`);
    for (const [field, value] of Object.entries(headers)) t.equal(reply.headers[field], value, `${name}: ${field}`);
    if (call !== undefined) t.same(admin.operations.calls.at(-1), call, `${name} calls ${call.name}`);
    const schema = ENDPOINTS.find((row) => row.id === id)?.answers[status]?.schema;
    t.not(schema, undefined, `${id} describes ${status}`);
    if (schema === null) t.equal(reply.text, '', `${name} has no body`);
    else if (reply.json !== null && schema !== undefined) {
      const strict = schema instanceof z.ZodObject ? schema.strict() : schema;
      t.ok(strict.safeParse(reply.json).success, `${name} answers in the shape it promises`);
    }
    await admin.close();
  }
});

t.test('every endpoint of the table is in the cases above, or has a test of its own', async (t) => {
  const covered = new Set([...CASES.map(({ id }) => id), 'events']);
  t.same(
    ENDPOINTS.map(({ id }) => id).filter((id) => !covered.has(id)),
    [],
  );
  t.equal(new Set(ENDPOINTS.map(({ id }) => id)).size, ENDPOINTS.length, 'ids are unique');
});

t.test('GET is also answered as HEAD, without a body', async (t) => {
  const admin = await testAdmin(t);
  for (const path of ['/v1/upstreams/web', '/livez', '/metrics', '/']) {
    const [get, head] = [await admin.ask('GET', path), await admin.ask('HEAD', path)];
    t.equal(head.status, 200, path);
    t.equal(head.text, '');
    t.equal(head.headers['content-length'], get.headers['content-length']);
  }
});

t.test('a long poll answers as soon as the version has got there', async (t) => {
  const { ask, operations } = await testAdmin(t);
  operations.web.versions = [versionView('v2', { phase: 'standby' })];
  const waiting = ask('GET', '/v1/upstreams/web/versions/v2?wait=live&timeout=10m');
  while (operations.listening === 0) await new Promise((resolve) => setImmediate(resolve));
  operations.web.versions = [versionView('v2')];
  operations.emit('live');
  const reply = await waiting;
  t.equal(reply.status, 200);
  t.match(reply.json, { phase: 'live' });
});

t.test('a long poll for the next step of a swap', async (t) => {
  const { ask, operations } = await testAdmin(t);
  const { headers } = await ask('POST', '/v1/upstreams/web/swap', { to: 'v2' });
  const waiting = ask('GET', `${String(headers.location)}?after=1&timeout=10m`);
  while (operations.listening === 0) await new Promise((resolve) => setImmediate(resolve));
  operations.emit('health');
  operations.step('admitted');
  const reply = await waiting;
  t.equal(reply.status, 200);
  t.match(reply.json, { steps: { length: 2 } });
  t.equal(operations.listening, 0, 'nobody listens any more');
});

t.test('a long poll ends when its client goes', async (t) => {
  const { url, operations } = await testAdmin(t);
  for (const path of ['/v1/upstreams/web/versions/v1?wait=released', '/v1/swaps/swap-1?after=9']) {
    running(operations);
    const client = new AbortController();
    const gone = t.rejects(fetch(url + path, { signal: client.signal }));
    while (operations.listening === 0) await new Promise((resolve) => setImmediate(resolve));
    client.abort();
    await gone;
    while (operations.listening > 0) await new Promise((resolve) => setImmediate(resolve));
    t.pass(`${path}: nobody listens any more`);
  }
});

t.test('closing does not wait for operations that do not heed the signal', async (t) => {
  const admin = await testAdmin(t);
  const asked = Promise.withResolvers<void>();
  admin.operations.waitFor = () => {
    asked.resolve();
    return new Promise(() => {});
  };
  const reply = admin.ask('GET', '/v1/upstreams/web/versions/v1?wait=released&timeout=10m');
  await asked.promise;
  await admin.close();
  t.equal((await reply).status, 202);
});

t.test('closing answers the long polls with the present state', async (t) => {
  const admin = await testAdmin(t);
  const waiting = admin.ask('GET', '/v1/upstreams/web/versions/v1?wait=released&timeout=10m');
  while (admin.operations.listening === 0) await new Promise((resolve) => setImmediate(resolve));
  await admin.close();
  const reply = await waiting;
  t.equal(reply.status, 202);
  t.equal(reply.headers.connection, 'close');
});
