import t from 'tap';
import { isSecretPlace } from '../../src/config/issues.ts';

const SHOWN = [
  'upstreams.web.routes[0].path',
  'upstreams.web.gates[0].name',
  'upstreams.web.launch.command[0]',
  'upstreams.web.launch.options.region',
  'upstreams.web.preview.header',
  'upstreams.web.canary.analysis.prometheus.query',
  'webhooks.chat.events[0]',
];

// In the file webhooks are a list, and in what is shown of it they go by their names.
const HIDDEN = [
  'admin.token',
  'upstreams.web.routes[0].headers.request.set.Authorization',
  'upstreams.web.tls.key',
  'upstreams.web.preview.secret',
  'upstreams.web.gates[0].secret',
  'upstreams.web.gates[11].url',
  'gates[0].url',
  'upstreams.web.canary.analysis.prometheus.url',
  'analysis.prometheus.url',
  'upstreams.web.launch.env.HOME',
  'launch.env.DATABASE_URL',
  'upstreams.web.versions.v1.launch.env.A',
  'upstreams.web.launch.options.apiToken',
  'upstreams.web.launch.options.cloud.secretKey',
  'webhooks[0].secret',
  'webhooks[0].url',
  'webhooks.chat.url',
];

t.test('what is secret is known by its place', async (t) => {
  for (const place of SHOWN) t.equal(isSecretPlace(place), false, place);
  for (const place of HIDDEN) t.equal(isSecretPlace(place), true, place);
});
