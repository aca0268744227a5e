/** A swap whose version is launched for it: what is shown before there is a swap. */
import t from 'tap';
import type { Test } from 'tap';
import type { DeployView } from '../../src/control/operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';
import { AT } from '../helpers/fake-operations.ts';
import { startCli } from '../helpers/run-cli.ts';
import { cutover, finish, until } from '../helpers/scripted-swap.ts';

function starting(version: string): DeployView {
  const process = { replica: 1, driver: 'process', pid: 7, id: null, port: 1, address: null, state: 'starting', restarts: 0, since: null } as const;
  const up = { ...process, replica: 2, state: 'running', lastEnd: null, problem: null } as const;
  return {
    id: 'deploy-7',
    upstream: 'web',
    version,
    state: 'starting',
    requestedBy: 'test',
    requestedAt: AT,
    reason: null,
    code: null,
    swap: null,
    processes: [{ ...process, lastEnd: null, problem: null }, up],
    failed: [],
    stopping: false,
  };
}

/** A swap to a version that is launched for it: its answer comes when `up` is called. */
async function startingSwap(t: Test, flags: readonly string[], terminal: boolean) {
  const admin = await testAdmin(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  t.teardown(resolve);
  Object.assign(admin.operations, { gate: promise, web: { ...admin.operations.web, deploy: starting('v2') } });
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations);
  };
  const running = startCli(['swap', 'web', '--to', 'v2', '--admin', admin.url, ...flags], { NO_COLOR: '1' }, terminal);
  return { admin, running, up: resolve };
}

t.test('the processes that a swap launches are shown while they start', async (t) => {
  const { running, up } = await startingSwap(t, [], true);
  await until(() => /\r\x1b\[2K {2}[⠀-⣿] starting {6}1 of 2 processes up/.test(running.out()));
  up();
  const { exit, out } = await running.done;
  t.equal(exit, 0);
  t.match(out.slice(out.lastIndexOf('processes up')), /^processes up\r\x1b\[2Kweb {2}v1 → v2\n/, 'and the line makes way for the swap');
});

t.test('Ctrl-C while processes start ends the waiting, not the swap', async (t) => {
  const { running } = await startingSwap(t, [], true);
  await until(() => running.out().includes('1 of 2 processes up'));
  running.interrupt();
  t.match(await running.done, { exit: 4, err: /^switchyard: interrupted; the swap of web to v2 goes on \(starting\)\n.*switchyard abort web\n$/ });
});

t.test('the timeout of a swap counts while its processes start; in a log nothing is drawn', async (t) => {
  const { running } = await startingSwap(t, ['--timeout', '300ms'], false);
  t.match(await running.done, { exit: 4, out: '', err: /^switchyard: the timeout has passed; the swap of web to v2 goes on \(starting\)\n/ });
});

t.test('processes that take longer than the proxy waits for them are watched until there is a swap', async (t) => {
  const admin = await testAdmin(t);
  admin.operations.script = (operations) => {
    cutover(operations);
    finish(operations);
  };
  const { exit, out, err } = await startCli(['swap', 'web', '--to', 'late', '--admin', admin.url]).done;
  t.equal(exit, 0, err);
  t.match(out, /^web {2}v1 → late\n[^]*released/);
});
