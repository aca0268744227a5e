import t from 'tap';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Events } from '../helpers/events.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

t.test('a stream whose event never ends, nor its bytes, does not keep a drain open', { timeout: 170_000 }, async (t) => {
  const stubborn = await RawUpstream.start(t, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: x\n\r\n');
    const timer = setInterval(() => connection.write('4\r\nmore\r\n'), 20);
    connection.socket.on('close', () => clearInterval(timer));
    return 'taken';
  });
  const next = await RawUpstream.start(t);
  const proxy = await Proxy.start(t, {
    upstreams: { web: catchAll({ v1: [stubborn.address] }, 'v1', { drain: { requests: '500ms', tunnels: '1s' } }) },
  });
  const events = await Events.of(t, proxy.adminUrl);
  using client = await RawClient.connect(proxy.port);
  client.write(requestBytes());
  await eventually('the stream', () => client.total > 300);
  await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [next.address] } });
  await events.wait('released', 'v1', 30_000);
  const { counts, killedByKind } = (await proxy.admin('/v1/upstreams/web/versions/v1/receipt')).json as Receipt;
  t.match(counts, { started: 1, killed: 1 });
  t.strictSame(killedByKind, { http: 0, stream: 1, tunnel: 0 });
  const all = (await client.takeAll()).toString('latin1');
  t.notMatch(all, /\r\n0\r\n\r\n$/, 'cut, since it was in the middle of an event');
});
