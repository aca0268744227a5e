import type { WebhookView } from '../webhooks/webhooks.ts';
import { painter } from './_terminal.ts';
import { ago, plural, table } from './_text.ts';
import { EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

/** What should be done something about; one sentence each. */
function troubles(views: readonly WebhookView[], now: number): string[] {
  return views.flatMap(({ name, pending, oldestPendingAt, dead, lastError, lastErrorAt, lastSuccessAt }) => {
    const failing = pending > 0 && lastErrorAt !== null && lastErrorAt > (lastSuccessAt ?? '');
    const late = failing ? [`${name}: ${plural(pending, 'event')} waiting, for ${ago(oldestPendingAt ?? lastErrorAt, now)}: ${lastError}`] : [];
    return dead === 0 ? late : [...late, `${name}: ${plural(dead, 'event')} given up; send them once more with: switchyard webhooks --redeliver ${name}`];
  });
}

function lines(views: readonly WebhookView[], call: Call): string[] {
  if (views.length === 0) return ['no webhooks'];
  const now = Date.now();
  const rows = views.map(({ name, url, upstreams, pending, delivered, failedAttempts, dead, lastSuccessAt }) => [
    name,
    url,
    upstreams === null ? 'all' : upstreams.join(' '),
    String(pending),
    String(delivered),
    String(failedAttempts),
    String(dead),
    lastSuccessAt === null ? '-' : `${ago(lastSuccessAt, now)} ago`,
  ]);
  const paint = painter(call.io.stdout, call.io.env);
  const found = troubles(views, now).map((text) => paint('yellow', `! ${text}`));
  return [...table(['WEBHOOK', 'URL', 'UPSTREAMS', ' PENDING', ' DELIVERED', ' FAILED', ' DEAD', 'LAST SUCCESS'], rows), ...found];
}

/** `switchyard webhooks`: who is told of events, and whether they take them. */
export const webhooksVerb: Verb = {
  name: 'webhooks',
  args: [],
  flags: { redeliver: { type: 'string', value: 'NAME', help: 'tries at once what waits for it, and once more what was given up' } },
  summary: 'shows who is told of events, what waits for them and what was given up',
  details:
    'PENDING is what waits, in order, FAILED counts attempts, DEAD what was given up. Below them: the last error of each that is in trouble. With --redeliver what was given up is sent once more, behind what waits.',
  examples: ['switchyard webhooks', 'switchyard webhooks --redeliver ci'],
  run: async (call) => {
    const { api } = call;
    const name = call.text('redeliver');
    if (name !== undefined) {
      const path = `/v1/webhooks/${encodeURIComponent(name)}/redeliver`;
      const { body } = await api.call<{ again: number; webhook: WebhookView }>('POST', path);
      const waiting = plural(body.webhook.pending, 'event');
      call.print(body, `${waiting} on the way to ${name}, ${body.again} of them given up before`);
      return EXIT.done;
    }
    const { body } = await api.call<WebhookView[]>('GET', '/v1/webhooks');
    call.print(body, lines(body, call));
    return EXIT.done;
  },
};
