/** A version that is deployed again while its processes of before still end; and what a proxy proposes that has versions already. */
import t from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import { restart, startLaunching } from '../helpers/launched.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE, running, start } from './deploy-world.ts';
import { verb } from './verb.ts';

t.test('aborted before the first of its processes, it is over when the answer comes', async (t) => {
  const proxy = await start(t, ['--env', 'STUBBORN=1', '--stop-timeout', '4s']);
  await deploy(proxy, { version: 'v2', launch: { env: { STUBBORN: '' } } });
  const web = async (): Promise<UpstreamView> => (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  await eventually(
    'the release of v1',
    async () => {
      const { swap } = await web();
      return swap?.to === 'v2' && swap.finished;
    },
    LATE,
  );
  const again = proxy.admin('/v1/upstreams/web/deploy', { body: { version: 'v1' }, deadline: LATE });
  await eventually('the deploy', async () => (await web()).deploy?.version === 'v1', LATE);
  const { status, json } = await proxy.admin('/v1/upstreams/web/swap/abort', { method: 'POST', deadline: LATE });
  t.match({ status, json }, { status: 200, json: { to: 'v1', state: 'aborted', reason: /^aborted by / } });
  t.equal((await web()).deploy, null);
  await again;
  t.strictSame(running(proxy), ['v2']);
});

t.test('the deploy that is proposed at the start is of a version that is not there', async (t) => {
  const proxy = await startLaunching(t);
  await eventually('the first proposal', () => /npx switchyard deploy web --version v3\n/.test(proxy.output), LATE);
  for (const version of ['v3', 'v4']) t.equal((await verb(proxy, 'deploy', 'web', '--version', version)).code, 0);
  await proxy.kill();
  await restart(proxy);
  await eventually('a proposal', () => /npx switchyard deploy web --version v5\n/.test(proxy.output), LATE);
});
