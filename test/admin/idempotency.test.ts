import t from 'tap';
import { IdempotencyStore } from '../../src/admin/_idempotency.ts';
import { testAdmin } from '../helpers/admin-server.ts';

const SWAP = '/v1/upstreams/web/swap';
const key = (value: string, more: Record<string, string> = {}) => ({ 'idempotency-key': value, ...more });
const swaps = (calls: readonly { name: string }[]): number => calls.filter(({ name }) => name === 'swap').length;

t.test('the same key and request is done once and answered the same', async (t) => {
  const { ask, operations } = await testAdmin(t);
  const first = await ask('POST', SWAP, { to: 'v2' }, key('a'));
  const again = await ask('POST', SWAP, { to: 'v2' }, key('a'));
  t.equal(first.headers['idempotency-replayed'], undefined);
  t.equal(again.headers['idempotency-replayed'], 'true');
  t.same([again.status, again.text, again.headers.location], [202, first.text, first.headers.location]);
  t.equal(swaps(operations.calls), 1);
  await ask('POST', SWAP, { to: 'v2' }, key('b'));
  t.equal(swaps(operations.calls), 2, 'another key is another call');
});

t.test('the same key with another request is refused', async (t) => {
  const { ask, operations } = await testAdmin(t);
  await ask('POST', SWAP, { to: 'v2' }, key('a'));
  t.match(await ask('POST', SWAP, { to: 'v3' }, key('a')), { status: 422, json: { code: 'idempotency-key-reused' } });
  t.match(await ask('POST', '/v1/upstreams/web/hold', { to: 'v2' }, key('a')), { status: 422 });
  t.equal(operations.calls.length, 1);
});

t.test('a repeat while the first runs waits for it', async (t) => {
  const { ask, operations } = await testAdmin(t);
  const gate = Promise.withResolvers<void>();
  operations.gate = gate.promise;
  const both = [ask('POST', SWAP, { to: 'v2' }, key('a')), ask('POST', SWAP, { to: 'v2' }, key('a'))];
  const early = await Promise.race([...both, new Promise((resolve) => setTimeout(resolve, 50, 'none'))]);
  t.equal(early, 'none');
  gate.resolve();
  const [one, two] = await Promise.all(both);
  t.equal(one.text, two.text);
  t.equal(swaps(operations.calls), 1);
});

t.test('a refused call changed nothing and may be tried again with its key', async (t) => {
  const { ask, operations } = await testAdmin(t);
  t.equal((await ask('POST', '/v1/upstreams/web/swap/pause', {}, key('a'))).status, 409);
  await ask('POST', SWAP, { to: 'v2' });
  t.equal((await ask('POST', '/v1/upstreams/web/swap/pause', {}, key('a'))).status, 200);
  t.equal(operations.calls.at(-1)?.name, 'pause');
});

t.test('keys of different tokens are different keys', async (t) => {
  const tokens = [
    { name: 'a', token: 'one', scope: 'operate' as const },
    { name: 'b', token: 'two', scope: 'operate' as const },
  ];
  const { ask, operations } = await testAdmin(t, { tokens });
  await ask('POST', SWAP, { to: 'v2' }, key('k', { authorization: 'Bearer one' }));
  const other = await ask('POST', SWAP, { to: 'v2' }, key('k', { authorization: 'Bearer two' }));
  t.equal(other.headers['idempotency-replayed'], undefined);
  t.equal(swaps(operations.calls), 2);
});

t.test('a key that is not one is refused', async (t) => {
  const { ask } = await testAdmin(t);
  for (const bad of ['x'.repeat(256), 'a b'])
    t.match(await ask('POST', SWAP, { to: 'v2' }, key(bad)), { status: 400, json: { errors: [{ path: 'Idempotency-Key' }] } });
});

t.test('at most 1 000 keys are remembered, for 24 hours', async (t) => {
  let now = 0;
  let runs = 0;
  const store = new IdempotencyStore(() => now);
  const run = async () => ({ status: 200, json: ++runs });
  const call = (name: string) => store.once('me', name, 'same', run);
  for (let i = 0; i < 1_000; i++) await call(`k${i}`);
  t.match(await call('k999'), { json: 1_000, headers: { 'idempotency-replayed': 'true' } });
  await call('k1000');
  t.match(await call('k2'), { json: 3, headers: { 'idempotency-replayed': 'true' } }, 'younger ones stay');
  t.match(await call('k0'), { json: 1_002 }, 'the oldest has gone');
  now = 24 * 3_600_000;
  t.match(await call('k500'), { json: 1_003 }, 'and all after a day');
});
