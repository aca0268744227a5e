import t from 'tap';
import type { Client, Ask } from '../../src/cli/_client.ts';
import { parseCall } from '../../src/cli/_parse.ts';
import { swapVerb } from '../../src/cli/swap.ts';
import { versionView } from '../helpers/fake-operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';
import type { TestAdmin } from '../helpers/admin-server.ts';
import { freePort } from '../helpers/ports.ts';
import { startCli } from '../helpers/run-cli.ts';
import type { Ran } from '../helpers/run-cli.ts';
import { cutover, finish, healthy, until } from '../helpers/scripted-swap.ts';
import { undisturbed } from '../helpers/wait.ts';

const run = ({ url }: TestAdmin, argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> => startCli([...argv, '--admin', url], env).done;

t.test('a swap shows each step and the receipt, and exits 0', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations);
  };
  const { exit, out, err } = await run(admin, ['swap', 'web', '--to', 'v2', '--backend', '127.0.0.1:9003', '--backend', '127.0.0.1:9004=2']);
  t.equal(exit, 0);
  t.equal(err, '');
  t.same(
    out.split('\n').map((line) => line.trimEnd()),
    [
      'web  v1 → v2',
      '  ✓ admitted      2 of 2 backends healthy                                0.0 s',
      '  ✓ live          all traffic on v2, generation 9                        0.0 s',
      '  … draining      v1: 3 in flight (1 tunnel)                             0.0 s',
      '  ✓ drained       v1: nothing in flight after 0.2 s, 0 killed            0.0 s',
      '  ✓ released      v1 may be destroyed                                    0.0 s',
      'receipt  web v1  released 2026-01-02T03:04:05.000Z',
      '  1204 requests started: 1203 completed, 1 aborted by the client, 0 failed, 0 killed',
      '  peak 7 in flight; drained in 0.2 s; unroutable since generation 9 (threads: 0 at 9, 1 at 9)',
      '',
    ],
  );
  t.same(admin.operations.calls[0].args[0], {
    to: 'v2',
    backends: [
      { address: '127.0.0.1:9003', weight: 1 },
      { address: '127.0.0.1:9004', weight: 2 },
    ],
  });
});

t.test('the steps are shown as they happen', async (t) => {
  const admin = await testAdmin(t);
  const running = startCli(['swap', 'web', '--to', 'v2', '--admin', admin.url]);
  await until(() => admin.operations.web.swap !== null);
  cutover(admin.operations);
  await until(() => running.out().includes('draining'));
  t.notMatch(running.out(), /drained/);
  finish(admin.operations);
  t.equal((await running.done).exit, 0);
});

t.test('flags become the body of the call', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => operations.step('released', { state: 'done', finished: true });
  await run(admin, [
    'swap',
    'web',
    '--to',
    'v2',
    '--canary',
    '5, 25%,50',
    '--hold',
    '30s',
    '--admission-timeout',
    '1m',
    '--drain-timeout',
    '500ms',
    '--tunnel-timeout',
    '1h',
    '--rollback-keep',
    '10m',
  ]);
  const canary = [5, 25, 50].map((weight) => ({ weight, hold: 30_000 }));
  t.same(admin.operations.calls[0].args[0], { to: 'v2', canary, admission: { timeout: 60_000 }, drain: { requests: 500, tunnels: 3_600_000 }, keep: 600_000 });
  await run(admin, ['swap', 'web', '--to', 'v2', '--canary=5']);
  t.same(admin.operations.calls[1].args[0], { to: 'v2', canary: [{ weight: 5, hold: null }] }, 'without --hold: until promoted');
  await run(admin, ['swap', 'web', '--to', 'v2', '--canary', '5:5s, 25%:1m,50', '--hold', '30s']);
  const own = [
    { weight: 5, hold: 5_000 },
    { weight: 25, hold: 60_000 },
    { weight: 50, hold: 30_000 },
  ];
  t.same(admin.operations.calls[2].args[0], { to: 'v2', canary: own }, 'a step may have a hold of its own');
});

t.test('how a canary is judged is part of the call, and what makes no sense is a usage error', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => operations.step('released', { state: 'done', finished: true });
  const asked = async (...flags: string[]): Promise<unknown> => {
    t.equal((await run(admin, ['swap', 'web', '--to', 'v2', ...flags])).exit, 0);
    return admin.operations.calls.at(-1)?.args[0];
  };
  t.same(await asked('--canary', 'off', '--analysis', 'off'), { to: 'v2', canary: [], analysis: false });
  t.same(await asked('--analysis', 'on'), { to: 'v2', analysis: true });
  t.same(await asked('--error-rate-max', '1%', '--p99-max', '800ms', '--min-requests', '200', '--latency-factor', '2.5'), {
    to: 'v2',
    analysis: { errorRateMax: 0.01, p99MsMax: 800, minRequests: 200, latencyFactor: 2.5 },
  });
  for (const [flags, message] of [
    [['--analysis', 'maybe'], /--analysis is "maybe"; expected on or off/],
    [['--error-rate-max', '1'.repeat(3)], /--error-rate-max is "111"; expected a share/],
    [['--min-requests', 'many'], /--min-requests is "many"; expected a number/],
    [['--analysis', 'off', '--p99-max', '1s'], /leaves nothing to hold against/],
  ] as const) {
    const { exit, err } = await run(admin, ['swap', 'web', '--to', 'v2', ...flags]);
    t.equal(exit, 2);
    t.match(err, message);
  }
  t.equal((await run(admin, ['swap', 'web', '--to', 'v2', '--latency-factor', '0.5'])).exit, 2, 'the admin API refuses it');
});

t.test('a gate is waited for after the last step, and what it keeps is exit 4', async (t) => {
  const admin = await testAdmin(t);
  const gate = { name: 'backup', before: 'release' as const, since: null, until: null, said: 'under audit', stopped: true };
  admin.operations.script = (operations) => {
    cutover(operations);
    operations.step('drained', { state: 'done', finished: true, gate }, { version: 'v1' });
  };
  const { exit, err } = await run(admin, ['swap', 'web', '--to', 'v2']);
  t.equal(exit, 4);
  t.match(err, /the gate backup keeps v1 from its release: under audit/);
});

t.test('a rejected swap names the last probe of each backend and exits 1', async (t) => {
  const admin = await testAdmin(t);
  const reason = '0 of 2 backends passed in time, 2 needed';
  admin.operations.script = (operations) => {
    const { backends } = versionView('v2');
    for (const backend of backends) {
      backend.health = 'unhealthy';
      backend.lastProbe = { at: '2026-01-02T03:04:05.000Z', ok: false, status: 503, ms: 4.4, error: 'status 503, expected 2xx' };
    }
    operations.web.versions.push(versionView('v2', { phase: 'rejected', weight: 0, backends }));
    operations.step('not admitted', {}, { version: 'v2', healthy: 0, of: 2 });
    operations.step('rejected', { state: 'rejected', finished: true, reason }, { reason });
  };
  const { exit, out, err } = await run(admin, ['swap', 'web', '--to', 'v2']);
  t.equal(exit, 1);
  t.match(out, /✗ not admitted +0 of 2 backends healthy/);
  for (const address of ['127.0.0.1:9001', '127.0.0.1:9002']) t.match(out, `${address}  unhealthy: status 503, expected 2xx (4 ms)`);
  t.equal(err, 'switchyard: the swap of web to v2 was rejected; nothing moved\n');
  const json = await run(admin, ['swap', 'web', '--to', 'v2', '--json']);
  t.match(json.json, { state: 'rejected', reason });
  t.match(json.err, /nothing moved\n {2}0 of 2 backends/);
});

t.test('a canary that is rolled back or aborted exits 1 and says where the traffic is', async (t) => {
  for (const [state, word] of [
    ['rolled-back', 'rolled back'],
    ['aborted', 'aborted'],
  ] as const) {
    const admin = await testAdmin(t);
    admin.operations.script = (operations) => {
      operations.step('weight 5', { state: 'cutting-over', weight: 5 }, { version: 'v2', generation: 8, ...healthy });
      operations.step('going back', { state: 'rolling-back' }, { reason: 'no backend of v2 was healthy' });
      operations.step(state, { state, finished: true, reason: 'no backend of v2 was healthy' }, {});
    };
    const { exit, out, err } = await run(admin, ['swap', 'web', '--to', 'v2', '--canary', '5']);
    t.equal(exit, 1);
    t.match(out, /canary +5 % on v2, 2 of 2 backends healthy, generation 8/);
    t.equal(err, `switchyard: the swap of web to v2 was ${word}; all traffic is back on v1\n  no backend of v2 was healthy\n`);
  }
});

t.test('killed requests: exit 3', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations, 2);
  };
  const { exit, out, err } = await run(admin, ['swap', 'web', '--to', 'v2']);
  t.equal(exit, 3);
  t.match(out, /killed at the drain deadline: 2 requests, 0 streams, 0 tunnels/);
  t.match(err, /^switchyard: 2 requests of v1 had to be killed at the drain deadline\n/);
});

t.test('--until ends the waiting earlier', async (t) => {
  for (const [goal, before] of [
    ['admitted', 'admitted'],
    ['live', 'live'],
    ['live', 'draining'],
  ] as const) {
    const admin = await testAdmin(t);
    admin.operations.script = (operations) => {
      operations.step('admitted', {}, { version: 'v2', ...healthy });
      if (before !== 'admitted') operations.step('live', {}, { version: 'v2', generation: 9 });
      if (before === 'draining') operations.step('draining', {}, { version: 'v1' });
    };
    const { exit, out } = await run(admin, ['swap', 'web', '--to', 'v2', '--until', goal, '--timeout', '10s']);
    t.equal(exit, 0, `${goal} when ${before}`);
    t.match(out, new RegExp(`v2 is ${goal}, and nobody waits any longer; the swap goes on \\(`), 'what it does not wait for is said');
  }
});

t.test('a kept version: done when drained; with --until released it is waited for', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    operations.step('drained', { state: 'done', finished: true }, { version: 'v1', drainMs: 5 });
  };
  t.equal((await run(admin, ['swap', 'web', '--to', 'v2', '--rollback-keep', '10m'])).exit, 0);
  const drained = await run(admin, ['swap', 'web', '--to', 'v2', '--until', 'drained']);
  t.equal(drained.exit, 0);
  t.notMatch(drained.out, /goes on/, 'it has ended');
  const kept = /the timeout has passed; v1 is kept for a rollback/;
  const late = () => run(admin, ['swap', 'web', '--to', 'v2', '--until', 'released', '--timeout', '200ms']);
  t.match(await undisturbed(50, late, ({ err }) => kept.test(err)), { exit: 4, err: kept });
});

t.test('the first swap of an upstream has nothing to drain', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => operations.step('live', { from: null, state: 'done', finished: true }, { version: 'v2', generation: 1 });
  t.equal((await run(admin, ['swap', 'web', '--to', 'v2', '--until', 'released'])).exit, 0);
});

t.test('--timeout: exit 4, and the swap goes on', async (t) => {
  const admin = await testAdmin(t);
  const waiting = await run(admin, ['swap', 'web', '--to', 'v2', '--timeout', '50ms']);
  t.equal(waiting.exit, 4);
  t.match(
    waiting.err,
    /^switchyard: the timeout has passed; the swap of web to v2 goes on \(admitting\)\n {2}watch it with: switchyard status web --watch; end it with: switchyard abort web\n$/,
  );
  admin.operations.script = (operations) => operations.step('weight 5', { state: 'cutting-over', weight: 5 }, {});
  const steer = /take the next step with: switchyard promote web/;
  const canary = () => run(admin, ['swap', 'web', '--to', 'v2', '--canary', '5', '--timeout', '200ms']);
  t.match(await undisturbed(50, canary, ({ err }) => steer.test(err)), { exit: 4, err: steer });
});

t.test('Ctrl-C leaves the swap running and says so', async (t) => {
  const admin = await testAdmin(t);
  const running = startCli(['swap', 'web', '--to', 'v2', '--json', '--admin', admin.url]);
  await until(() => admin.operations.listening > 0);
  running.interrupt();
  const { exit, err, json } = await running.done;
  t.equal(exit, 4);
  t.match(err, /interrupted; the swap of web to v2 goes on/);
  t.match(json, { state: 'admitting' });
  t.notOk(admin.operations.web.swap?.finished);
});

t.test('a version that is live already: nothing changes, exit 0', async (t) => {
  const admin = await testAdmin(t);
  const { exit, out } = await run(admin, ['swap', 'web', '--to', 'v1']);
  t.same([exit, out], [0, 'web  v1 is live already; nothing was changed\n']);
});

t.test('--dry-run prints the plan', async (t) => {
  const admin = await testAdmin(t);
  const { exit, out } = await run(admin, ['swap', 'web', '--to', 'v2', '--dry-run']);
  t.equal(exit, 0);
  t.match(out, /^web {2}v1 → v2 {2}\(dry run: nothing is changed\)\n {2}1\. admit v2 within 30s\n/);
  t.match((await run(admin, ['swap', 'web', '--to', 'v2', '--dry-run', '--json'])).json, { dryRun: true, steps: { length: 4 } });
  t.same(
    admin.operations.calls.map(({ name }) => name),
    ['planSwap', 'planSwap'],
  );
});

t.test('--json prints the finished swap and nothing else', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations);
  };
  const { json, exit, err } = await run(admin, ['swap', 'web', '--to', 'v2', '--json']);
  t.match(json, { state: 'done', receipt: { version: 'v1' } });
  t.same([exit, err], [0, '']);
});

t.test('rollback is followed like a swap', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations);
  };
  const { exit, out } = await run(admin, ['rollback', 'web', '--to', 'v0']);
  t.equal(exit, 0);
  t.match(out, /^web {2}v1 → v0 {2}\(rollback\)\n/);
  t.match(await run(admin, ['rollback', 'web', '--to', 'gone']), { exit: 1, err: /no kept version/ });
});

t.test('a proxy that restarts while a swap is watched is waited for', async (t) => {
  const admin = await testAdmin(t, { port: await freePort() });
  const running = startCli(['swap', 'web', '--to', 'v2', '--admin', admin.url], { NO_COLOR: '1' }, true);
  await until(() => admin.operations.listening > 0);
  await admin.close();
  await until(() => running.out().includes('the admin API does not answer; trying again'));
  const after = await testAdmin(t, { port: admin.port, operations: admin.operations });
  cutover(admin.operations);
  finish(admin.operations);
  t.equal((await running.done).exit, 0);
  t.equal(after.port, admin.port);
});

t.test('on a terminal the line in progress is drawn over, in colour unless NO_COLOR', async (t) => {
  const screens = [];
  for (const env of [{}, { NO_COLOR: '1' }]) {
    const admin = await testAdmin(t);
    const running = startCli(['swap', 'web', '--to', 'v2', '--admin', admin.url], env as Record<string, string>, true);
    await until(() => admin.operations.web.swap !== null);
    cutover(admin.operations);
    await until(() => running.out().includes('v1: 2 in flight'));
    finish(admin.operations);
    screens.push((await running.done).out);
  }
  t.match(screens[0], /\x1b\[32m✓\x1b\[0m admitted/);
  t.notMatch(screens[1], /\x1b\[\d*m/);
  t.match(screens[1], /\r\x1b\[2K {2}[⠀-⣿] draining {6}v1: 2 in flight {17}░{20}/);
});

t.test('a hold is shown with what is left of it, as a bar on a terminal', async (t) => {
  const admin = await testAdmin(t);
  const running = startCli(['swap', 'web', '--to', 'v2', '--canary', '25', '--hold', '1h', '--admin', admin.url], { NO_COLOR: '1' }, true);
  await until(() => admin.operations.web.swap !== null);
  const ends = Date.parse('2026-01-02T03:04:05.000Z') + 3_600_000;
  admin.operations.step('weight 25', { state: 'cutting-over', weight: 25, stageEndsAt: new Date(ends).toISOString() }, { version: 'v2', ...healthy });
  await until(() => running.out().includes('25 % on v2, held'));
  t.match(running.out(), /[⠀-⣿] canary {8}25 % on v2, held {14} {2}█{20} {2}0\.0 s left/, 'by the clock of this machine it is long over');
  cutover(admin.operations);
  finish(admin.operations);
  t.equal((await running.done).exit, 0);
});

t.test('a version whose processes are started first is waited for as long as the proxy may take to answer', async (t) => {
  const silent = { write: () => undefined, isTTY: false };
  const parsed = parseCall(swapVerb, ['web', '--to', 'v2'], { stdout: silent, stderr: silent, env: {}, onInterrupt: () => () => undefined });
  if (parsed.help) throw new Error('no call');
  t.teardown(() => parsed.close());
  const asked: Ask[] = [];
  const call = async (_: string, __: string, ask: Ask): Promise<unknown> => {
    asked.push(ask);
    return { status: 200, body: { finished: true } };
  };
  t.equal(await swapVerb.run({ ...parsed.call, api: { call } as unknown as Client }), 0);
  // Until a seed that is being launched is there, and until what is launched for this swap is.
  t.match(asked, [{ body: { to: 'v2' }, patience: 2 * 120_000 }]);
});
