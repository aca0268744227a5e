/** Receivers that are told by real POSTs, and change while deliveries to them are under way. */
import t from 'tap';
import type { Test } from 'tap';
import type { WebhookPolicy } from '../../src/pool/webhook.ts';
import { Webhooks } from '../../src/webhooks/webhooks.ts';
import { Receiver } from '../helpers/receiver.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

/** No attempt of these ends by itself while a test waits. */
const HOUR = 3_600_000;

function policyOf({ url, secret }: Pick<Receiver, 'url' | 'secret'>, name: string, more: Partial<WebhookPolicy> = {}): WebhookPolicy {
  const rest = { timeout: HOUR, maxAge: HOUR, attempts: 100, backoff: { base: HOUR, max: HOUR }, queue: 100 };
  return { name, url, secret, events: ['live'], upstreams: null, ...rest, ...more };
}

async function start(t: Test): Promise<{ webhooks: Webhooks; dir: string; tell: (id: string, upstream: string) => void }> {
  const dir = await tempDir(t, 'webhooks');
  const webhooks = new Webhooks(dir, (message) => t.comment(message));
  t.teardown(() => webhooks.close());
  const tell = (id: string, upstream: string): void => webhooks.take({ type: 'live', upstream, version: 'v1', data: {} }, null, id, Date.now());
  return { webhooks, dir, tell };
}

t.test('name and password in the URL of a receiver are sent as Basic authentication, and shown nowhere', async (t) => {
  const receiver = await Receiver.start(t);
  const { webhooks, tell } = await start(t);
  const port = String(receiver.port);
  webhooks.set(
    [
      policyOf({ secret: receiver.secret, url: `http://deploy:p%40ss:w%C3%B6rd@127.0.0.1:${port}/hook` }, 'both'),
      policyOf({ secret: receiver.secret, url: `http://50%25%zz@127.0.0.1:${port}/hook` }, 'name'),
      policyOf({ secret: receiver.secret, url: `http://127.0.0.1:${port}/hook` }, 'none'),
    ],
    0,
  );
  tell('1', 'web');
  await receiver.wait('all three', ({ all }) => all.length === 3);
  const sent = receiver.all.map(({ headers: { authorization } }) =>
    authorization === undefined ? 'none' : Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString(),
  );
  t.strictSame(sent.toSorted(), ['50%25%zz:', 'deploy:p@ss:wörd', 'none']);
  await eventually('that they are taken', () => webhooks.views().every(({ delivered }) => delivered === 1));
  t.notMatch(JSON.stringify([webhooks.views(), webhooks.metrics()]), /deploy|p%40ss|p@ss|%zz/);
  // What cannot be reached is told without them, too.
  await receiver.close();
  tell('2', 'web');
  await eventually('the failure', () => {
    // The first attempt may still be made on a connection that is closed by now, which is another failure.
    for (const { name } of webhooks.views()) webhooks.redeliver(name);
    return webhooks.views().every(({ lastError }) => lastError?.includes('refused'));
  });
  t.match(webhooks.views(), [{ url: `http://127.0.0.1:${port}/…`, lastError: /refused/ }, {}, {}]);
  t.notMatch(JSON.stringify(webhooks.views()), /deploy|p%40ss|p@ss|%zz/);
});

t.test('a receiver that is taken away while it is told of something hears no more of it, and of all of it when it is back', async (t) => {
  const receiver = await Receiver.start(t);
  const { webhooks, tell } = await start(t);
  const policy = policyOf(receiver, 'ci');
  webhooks.set([policy], 0);
  receiver.answer = ({ upstream }) => (upstream === 'web' ? 'hang' : 500);
  tell('web-1', 'web');
  tell('api-1', 'api');
  await receiver.wait('a POST that is not answered, and one that is', ({ all }) => all.length === 2);
  webhooks.set([], 0);
  await receiver.wait('the end of the POST that was under way', ({ brokenOff }) => brokenOff.includes('evt_web-1'));
  t.strictSame(webhooks.views(), []);
  tell('web-2', 'web');
  receiver.answer = () => 204;
  webhooks.set([policy], 0);
  // By hand: what has failed is due in an hour.
  webhooks.redeliver('ci');
  await receiver.wait('both', ({ taken }) => taken.length === 2);
  t.strictSame(receiver.taken.map(({ id }) => id).toSorted(), ['evt_api-1', 'evt_web-1'], 'and not of what happened in between');
});

t.test('a receiver that is given another URL hears nothing more at the old one', async (t) => {
  const [before, after] = [await Receiver.start(t), await Receiver.start(t)];
  const { webhooks, tell } = await start(t);
  webhooks.set([policyOf(before, 'ci')], 0);
  before.answer = () => 'hang';
  tell('1', 'web');
  tell('2', 'web');
  await before.wait('a POST', ({ all }) => all.length === 1);
  webhooks.set([policyOf(after, 'ci')], 0);
  await before.wait('its end', ({ brokenOff }) => brokenOff.includes('evt_1'));
  await after.wait('both', ({ taken }) => taken.length === 2);
  t.strictSame(
    after.taken.map(({ id }) => id),
    ['evt_1', 'evt_2'],
    'the one that was under way first',
  );
  t.equal(before.all.length, 1);
  await eventually('that nothing waits', () => webhooks.views()[0].pending === 0);
  t.match(webhooks.views(), [{ delivered: 2, failedAttempts: 0 }]);
});
