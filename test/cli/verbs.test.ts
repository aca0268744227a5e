import t from 'tap';
import { receiptOf, versionView } from '../helpers/fake-operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';
import type { TestAdmin } from '../helpers/admin-server.ts';
import { startCli } from '../helpers/run-cli.ts';
import type { Ran } from '../helpers/run-cli.ts';

const run = ({ url }: TestAdmin, ...argv: readonly string[]): Promise<Ran> => startCli(argv, { SWITCHYARD_ADMIN_URL: url }).done;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

t.test('status shows upstreams in short, and one at length', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.web.versions.push(versionView('v2', { phase: 'standby', weight: 0 }));
  const all = await run(admin, 'status');
  t.equal(all.exit, 0);
  t.match(
    all.out,
    /^web {2}v1 100 % {2}revision 7\n {2}VERSION +PHASE +WEIGHT +HEALTHY +IN FLIGHT .*\n {2}v2 +standby +0 % +2 of 2 .*\n {2}v1 +live +100 % +2 of 2 +2 +1204 +1 +0 /,
  );
  const one = await run(admin, 'status', 'web');
  t.match(one.out, /BACKEND OF v1 +WEIGHT .*\n {2}127\.0\.0\.1:9001 +1 +healthy +yes +1 +1 +600 +200, 2 ms\n/);
  t.match((await run(admin, 'status', 'web', '--json')).json, { name: 'web', revision: 7 });
  t.match((await run(admin, 'status', '--json')).json, [{ name: 'web' }]);
});

t.test('status shows a held upstream, a running swap and its steps', async (t) => {
  const admin = await testAdmin(t);
  await run(admin, 'hold', 'web');
  admin.operations.web.maintenance = true;
  const swapping = startCli(['swap', 'web', '--to', 'v2', '--until', 'live', '--admin', admin.url]);
  await until(() => admin.operations.web.swap !== null);
  t.match((await run(admin, 'status')).out, /held, 0 requests waiting {2}in maintenance.*\n {2}swap v1 → v2: admitting at 0 %/);
  t.match((await run(admin, 'status', 'web')).out, /running swap swap-\d, asked for by test: admitting\n {2}web {2}v1 → v2\n {2}… requested/);
  admin.operations.step('live');
  await swapping.done;
});

t.test('status --watch shows it again when it changes, until Ctrl-C', async (t) => {
  const admin = await testAdmin(t);
  for (const flags of [[], ['--json']]) {
    admin.operations.web.held = false;
    const running = startCli(['status', 'web', '--watch', ...flags, '--admin', admin.url]);
    await until(() => running.out() !== '');
    const first = running.out();
    admin.operations.web.held = true;
    await until(() => running.out() !== first);
    running.interrupt();
    const { exit, out } = await running.done;
    t.equal(exit, 0);
    t.match(out.slice(first.length), /held/);
    if (flags.length > 0)
      t.ok(
        out
          .trimEnd()
          .split('\n')
          .every((line) => (JSON.parse(line) as { name: string }).name === 'web'),
        'JSON lines',
      );
  }
});

t.test('promote, pause, resume and abort steer the running swap', async (t) => {
  const admin = await testAdmin(t);
  t.match(await run(admin, 'pause', 'web'), { exit: 5, err: /^switchyard: No swap of this upstream is running/ });
  await admin.ask('POST', '/v1/upstreams/web/swap', { to: 'v2' });
  for (const verb of ['promote', 'pause', 'resume', 'abort']) {
    const { exit, out } = await run(admin, verb, 'web');
    t.equal(exit, 0, verb);
    t.match(out, verb === 'pause' ? /^web {2}v1 → v2 {2}admitting at 0 %, paused\n/ : /^web {2}v1 → v2 {2}admitting at 0 %\n/);
    t.equal(admin.operations.calls.at(-1)?.name, verb);
    t.match((await run(admin, verb, 'web', '--json')).json, { to: 'v2' });
  }
});

t.test('versions, receipt and explain', async (t) => {
  const admin = await testAdmin(t);
  t.match((await run(admin, 'versions', 'web')).out, /VERSION +PHASE .*\n {2}v1 +live/);
  t.match((await run(admin, 'versions', 'web', '--json')).json, [{ id: 'v1' }]);
  t.match(await run(admin, 'receipt', 'web', 'v1'), { exit: 2, err: /not been released yet.*\n {2}see what it waits for with: switchyard explain web v1\n/ });
  admin.operations.receipts.set('v1', receiptOf('v1'));
  t.match(
    (await run(admin, 'receipt', 'web', 'v1')).out,
    /1203 completed.*\n.*unroutable since generation 9.*\n {2}first request .*\n {2}admitted with 2 of 2 backends healthy/,
  );
  t.match((await run(admin, 'receipt', 'web', 'v1', '--json')).json, { upstream: 'web', counts: { started: 1204 } });
  t.match(
    (await run(admin, 'explain', 'web', 'v1')).out,
    /^v1 waits for a healthy backend\.\n {2}BLOCKS +FACT\n {2}admitted +127\.0\.0\.1:9003 refuses connections\n {2}- +rise is 2\n/,
  );
  t.match((await run(admin, 'explain', 'web')).out, /^web waits/);
  t.match((await run(admin, 'explain', 'web', '--json')).json, { facts: { length: 2 } });
});

t.test('drain takes a version or a backend', async (t) => {
  const admin = await testAdmin(t);
  t.match(await run(admin, 'drain', 'web', 'v1'), { exit: 0, out: /v1 is draining; 2 in flight\n {2}wait for it with: switchyard wait web v1 --for released/ });
  t.equal(admin.operations.calls.at(-1)?.name, 'removeVersion');
  t.match(await run(admin, 'drain', 'web', '127.0.0.1:9001'), { exit: 0, out: 'web  127.0.0.1:9001 gets no new requests; 1 in flight\n' });
  t.same(admin.operations.calls.at(-1), { name: 'drainBackend', args: ['127.0.0.1:9001', admin.operations.calls.at(-1)?.args.at(-1)] });
  t.match((await run(admin, 'drain', 'web', 'v1', '--json')).json, { id: 'v1' });
});

t.test('hold and unhold', async (t) => {
  const admin = await testAdmin(t);
  t.match(await run(admin, 'hold', 'web'), { exit: 0, out: /^web {2}is held, 0 requests waiting/ });
  t.match(await run(admin, 'unhold', 'web'), { exit: 0, out: 'web  is not held\n' });
  t.match((await run(admin, 'hold', 'web', '--json')).json, { held: true });
});

t.test('wait', async (t) => {
  const admin = await testAdmin(t);
  t.match(await run(admin, 'wait', 'web', 'v1', '--for', 'live'), { exit: 0, out: 'web  v1 is live\n' });
  const waiting = run(admin, 'wait', 'web', 'v1', '--for', 'released', '--json');
  await until(() => admin.operations.listening > 0);
  admin.operations.web.versions = [versionView('v1', { phase: 'released' })];
  admin.operations.emit('released');
  t.match((await waiting).json, { phase: 'released' });
  t.match(await run(admin, 'wait', 'web', 'v1', '--for', 'live', '--timeout', '10m'), { exit: 1, err: /is released and can never be live/ });
  admin.operations.web.versions = [versionView('v1')];
  t.match(await run(admin, 'wait', 'web', 'v1', '--for', 'drained', '--timeout', '50ms'), {
    exit: 4,
    err: /v1 of web is live, not drained, after 0\.1 s; 2 requests in flight\n {2}see why with: switchyard explain web v1/,
  });
  const interrupted = startCli(['wait', 'web', 'v1', '--for', 'drained', '--admin', admin.url]);
  await until(() => admin.operations.listening > 0);
  interrupted.interrupt();
  t.match(await interrupted.done, { exit: 4, err: /interrupted while waiting/ });
  t.match(await run(admin, 'wait', 'web', 'v1'), { exit: 2, err: /wait needs --for PHASE/ });
  t.match(await run(admin, 'wait', 'web', 'v1', '--for', 'gone'), { exit: 2, err: /--for is "gone"; expected one of admitted/ });
});

t.test('events', async (t) => {
  const admin = await testAdmin(t);
  for (const json of [false, true]) {
    const running = startCli(['events', 'web', '--admin', admin.url, ...(json ? ['--json'] : [])]);
    await until(() => admin.operations.listening > 0);
    admin.operations.emit('config', null);
    const event = admin.operations.emit('live', 'web', { generation: 9, nested: {} });
    await until(() => running.out() !== '');
    running.interrupt();
    const { exit, out } = await running.done;
    t.equal(exit, 0);
    if (json) t.same(JSON.parse(out), event);
    else t.match(out, /^2026-01-02T03:04:05\.000Z {2}live +web {2}generation=9\n$/);
    await until(() => admin.operations.listening === 0);
  }
  const ended = startCli(['events', '--admin', admin.url]);
  await until(() => admin.operations.listening > 0);
  await admin.close();
  t.match(await ended.done, { exit: 6, err: /ended the stream/ });
});
