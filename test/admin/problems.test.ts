import t from 'tap';
import type { Issue } from '../../src/errors/catalogue.ts';
import { testAdmin } from '../helpers/admin-server.ts';

const SWAP = '/v1/upstreams/web/swap';

t.test('bad input names every place, the value and what was expected', async (t) => {
  const { ask, operations } = await testAdmin(t);
  const cases: readonly [string, string, unknown, Record<string, RegExp>][] = [
    ['POST', SWAP, {}, { to: /expected a name, got nothing/ }],
    ['POST', SWAP, { to: '-x' }, { to: /letters, digits.*got "-x"/ }],
    ['POST', SWAP, { to: 'v2', backend: [] }, { backend: /unknown field/ }],
    ['POST', SWAP, { to: 'v2', rollback: { keep: '1m', kept: 1 } }, { 'rollback.kept': /unknown field/ }],
    ['POST', SWAP, { to: 'v2', backends: [] }, { backends: /at least one backend/ }],
    [
      'POST',
      SWAP,
      { to: 'v2', backends: ['nine', 'h:70000', 7, { address: 'h:1', weight: 0 }] },
      {
        'backends[0]': /expected host:port.*got "nine"/,
        'backends[1]': /host:port/,
        'backends[2]': /host:port.*got 7/,
        'backends[3].weight': /1 to 1000, got 0/,
      },
    ],
    ['POST', SWAP, { to: 'v2', backends: ['h:1', 'h:1'] }, { 'backends[1]': /each address once, got "h:1"/ }],
    ['POST', SWAP, { to: 'v2', strategy: { canary: [{ weight: 100 }] } }, { 'strategy.canary[0].weight': /1 to 99, got 100/ }],
    [
      'POST',
      SWAP,
      { to: 'v2', strategy: { canary: [{ weight: 50 }, { weight: 5 }] } },
      { 'strategy.canary[1].weight': /above that of the step before, got 5/ },
    ],
    ['POST', SWAP, { to: 'v2', strategy: { canary: [{ weight: 5, hold: '3 s' }] } }, { 'strategy.canary[0].hold': /a duration such as .*got "3 s"/ }],
    ['POST', SWAP, { to: 'v2', drain: { requests: -1 } }, { 'drain.requests': /duration.*got -1/ }],
    ['POST', SWAP, { to: 'v2', dryRun: 'yes' }, { dryRun: /true or false, got "yes"/ }],
    ['POST', SWAP, '{"to":', { body: /expected JSON/ }],
    ['POST', SWAP, [], { body: /expected an object, got \[\]/ }],
    ['POST', SWAP, undefined, { body: /got nothing/ }],
    ['POST', `${SWAP}/pause`, { now: true }, { now: /unknown field/ }],
    ['PUT', '/v1/upstreams/web/split', { v1: 50, v2: 49 }, { body: /sum to 100/ }],
    ['PUT', '/v1/upstreams/web/split', { v1: 101, v2: -1 }, { v1: /0 to 100, got 101/, v2: /0 to 100, got -1/ }],
    ['PUT', '/v1/upstreams/web', 'null', { body: /expected an object/ }],
    ['GET', '/v1/upstreams/.web', undefined, { upstream: /letters, digits/ }],
    ['GET', '/v1/upstreams/%ff', undefined, { upstream: /letters, digits/ }],
    ['GET', '/v1/upstreams?x=1', undefined, { x: /unknown field/ }],
    ['GET', '/v1/upstreams/web/versions/v1?wait=gone', undefined, { wait: /one of admitted, live.*got "gone"/ }],
    ['GET', '/v1/upstreams/web/versions/v1?wait=live&timeout=11m', undefined, { timeout: /at most 10m, got "11m"/ }],
    ['GET', '/v1/upstreams/web/versions/v1?wait=live&wait=live', undefined, { wait: /once in the query/ }],
    ['DELETE', '/v1/upstreams/web', { force: true }, { body: /expected no body/ }],
  ];
  for (const [method, path, body, expected] of cases) {
    const reply = await ask(method, path, body);
    const name = `${method} ${path} ${JSON.stringify(body)}`;
    t.equal(reply.status, 400, name);
    t.equal(reply.headers['content-type'], 'application/problem+json');
    const { code, errors } = reply.json as { code: string; errors: Issue[] };
    t.equal(code, 'invalid');
    t.same(
      errors.map(({ path: at }) => at),
      Object.keys(expected),
      `${name} names the places`,
    );
    for (const [at, { message }] of errors.entries()) t.match(message, Object.values(expected)[at], name);
  }
  t.same(operations.calls, [], 'nothing was called');
});

t.test('a problem has the members of RFC 9457, a stable code and the facts', async (t) => {
  const { ask } = await testAdmin(t);
  const reply = await ask('POST', SWAP, { to: 'busy' });
  t.equal(reply.status, 409);
  t.equal(reply.headers['retry-after'], '5');
  t.match(reply.json, { type: 'urn:switchyard:problem:swap-running', title: /.+/, status: 409, detail: /to v9/, code: 'swap-running', swap: 'swap-9' });
});

t.test('refusals keep their status and code', async (t) => {
  const { ask } = await testAdmin(t);
  const cases: readonly [string, string, unknown, number, string][] = [
    ['GET', '/v1/upstreams/nope', undefined, 404, 'no-such-upstream'],
    ['GET', '/v1/upstreams/web/versions/v9', undefined, 404, 'no-such-version'],
    ['GET', '/v1/upstreams/web/versions/v1/receipt', undefined, 404, 'no-receipt'],
    ['GET', '/v1/swaps/none', undefined, 404, 'no-such-swap'],
    ['GET', '/v1/swaps/none?after=1', undefined, 404, 'no-such-swap'],
    ['POST', `${SWAP}/abort`, undefined, 409, 'no-running-swap'],
    ['POST', '/v1/upstreams/web/rollback', { to: 'gone' }, 409, 'nothing-kept'],
    ['GET', '/v1/nothing', undefined, 404, 'not-found'],
    ['GET', '/v1/events?upstream=nope', undefined, 404, 'no-such-upstream'],
    ['PATCH', '/v1/upstreams/web', {}, 405, 'method-not-allowed'],
  ];
  for (const [method, path, body, status, code] of cases) {
    const reply = await ask(method, path, body);
    t.match(reply, { status, json: { status, code } }, `${method} ${path}`);
  }
  t.equal((await ask('PATCH', '/v1/upstreams/web', {})).headers.allow, 'GET, HEAD, PUT, DELETE');
});

t.test('an inner failure is logged with its stack and answered without it', async (t) => {
  const { ask, log } = await testAdmin(t);
  const reply = await ask('POST', SWAP, { to: 'broken' });
  t.match(reply, { status: 500, json: { code: 'internal' } });
  t.notMatch(reply.text, /secret|at .*\.ts/);
  t.match(log, [{ level: 'error', facts: { stack: /secret inner failure/ } }]);
});

t.test('changes are logged with who made them', async (t) => {
  const { ask, log } = await testAdmin(t);
  await ask('GET', '/v1/upstreams');
  await ask('POST', '/v1/upstreams/web/hold', undefined, { 'x-switchyard-actor': 'alice' });
  t.same(log, [{ level: 'info', message: 'holdUpstream', facts: { by: 'admin@127.0.0.1/alice', upstream: 'web', status: 200 } }]);
});

t.test('If-Match: the write is only done to the revision that was read', async (t) => {
  const { ask, operations } = await testAdmin(t);
  const put = (tag: string, path = '/v1/upstreams/web') => ask('PUT', path, {}, { 'if-match': tag });
  const stale = await put('"6"');
  t.match(stale, { status: 412, json: { code: 'stale-revision', revision: 7, changedBy: 'alice' } });
  t.equal(operations.calls.length, 0);
  t.equal((await put('"7"')).status, 200);
  t.equal((await put('"7"')).status, 412, 'the write has raised the revision');
  t.equal((await put('"3", "8"')).status, 200, 'any of several tags');
  t.equal((await put('*')).status, 200);
  t.match(await put('*', '/v1/upstreams/api'), { status: 412, json: { revision: null } }, '* asks that it exists');
  t.match(await put('seven'), { status: 400, json: { errors: [{ path: 'If-Match' }] } });
  t.equal((await ask('POST', SWAP, { to: 'v2' }, { 'if-match': '"1"' })).status, 412, 'a swap is a write too');
});
