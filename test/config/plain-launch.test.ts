import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { changesBetween, plainConfig } from '../../src/config/plain.ts';

const upstreams = (secret: string) =>
  parseConfig({ upstreams: { web: { routes: [{}], launch: { command: ['app', `--token=${secret}`, '--port', '1'], env: { A: 'hunter2' } } } } }).upstreams;

t.test('a secret in the command of what is launched is not shown, and a change of it is', async (t) => {
  const top = { edge: {}, shutdown: { drain: 0 }, webhooks: [] } as unknown as Parameters<typeof plainConfig>[0];
  const plain = (secret: string) => plainConfig(top, upstreams(secret), Buffer.from('key'));
  t.notMatch(JSON.stringify(plain('hunter2')), /hunter2/);
  t.match(plain('hunter2'), { upstreams: { web: { launch: { command: ['app', /^--token=secret [0-9a-f]{12}$/, '--port', '1'] } } } });
  t.strictSame(changesBetween(plain('hunter2'), plain('hunter2')), []);
  t.match(changesBetween(plain('hunter2'), plain('hunter3')), [{ path: 'upstreams.web.launch.command[1]' }]);
});
