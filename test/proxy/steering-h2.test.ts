import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { h2Ask } from '../helpers/h2_ask.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts, upstreamState, versionState } from './counts.ts';

interface H2Version {
  readonly address: string;
  readonly seen: IncomingHttpHeaders[];
}

/** A version that speaks HTTP/2 only, and has one asset of its own. */
async function version(t: Test, id: string): Promise<H2Version> {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    const missing = request.url.startsWith('/assets/') && !request.url.startsWith(`/assets/${id}.`);
    request.resume().on('end', () => response.writeHead(missing ? 404 : 200).end(id));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

t.test('backends and clients of HTTP/2 are steered as those of HTTP/1.1 are', async (t) => {
  const [v1, v2, v3] = [await version(t, 'v1'), await version(t, 'v2'), await version(t, 'v3')];
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    upstreams: {
      web: catchAll({ v1: [v1.address] }, 'v1', {
        health: { kind: 'none' },
        protocol: 'h2',
        skew: { pin: { cookie: 'pin' }, assets: ['/assets/'] },
        preview: { header: 'x-preview' },
        mirror: {},
      }),
    },
  });
  const swap = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [v2.address] } });
  t.equal(swap.status, 202, swap.text);
  await eventually('v2 is live', async () => (await upstreamState(proxy)).split.v2 === 100);
  // On standby on the way, it may have got copies.
  const copiesBefore = v2.seen.length;
  await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v3', backends: [v3.address] } });
  await eventually('v3 is on standby', async () => (await versionState(proxy, 'web', 'v3')).phase === 'standby');

  t.equal((await h2Ask(port, { cookie: 'pin=v1' })).body, 'v1', 'a pin');
  t.equal((await h2Ask(port, { ':path': '/assets/v1.js' })).body, 'v1', 'an asset of the version before');
  t.equal((await h2Ask(port, { ':path': '/assets/v2.js' })).body, 'v2', 'an asset of its own');
  t.equal((await h2Ask(port, { 'x-preview': 'v3' })).body, 'v3', 'a preview');
  await eventually('three copies and the preview are there', () => v3.seen.length === 4);
  t.equal(v3.seen.filter((headers) => headers['x-switchyard-mirror'] === '1').length, 3, 'all but the preview were copied');
  t.equal(v2.seen.length - copiesBefore, 2);
  t.match(await settledCounts(proxy, 'web', 'v1'), { started: 2, completed: 2 });
  t.match(await settledCounts(proxy, 'web', 'v3'), { started: 1, completed: 1 });
});
