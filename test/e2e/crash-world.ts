import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

export interface World {
  readonly t: Test;
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly v2: readonly string[];
}

export async function start(t: Test): Promise<World> {
  const backends = await Backends.start(t);
  const v1 = await backends.listen('v1');
  const proxy = await Proxy.start(t, {
    upstreams: { web: { routes: [{}], health: { interval: '200ms', admitInterval: '30ms' }, sticky: { header: 'x-key' }, versions: { v1: { backends: v1 } } } },
  });
  return { t, proxy, backends, v2: await backends.listen('v2') };
}

export async function web(proxy: Proxy): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

export async function swap({ proxy, v2 }: World, more: Record<string, unknown> = {}): Promise<SwapView> {
  const { json, status, text } = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: v2, ...more } });
  if (status !== 202) throw new Error(text);
  return json as SwapView;
}

/** The version that answers each of 60 different clients. */
export async function byClient({ t, proxy }: World): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => proxy.send({ fields: [['x-key', `client-${i}`]] })));
  t.ok(
    answers.every(({ status }) => status === 200),
    'everybody is served',
  );
  return answers.map((answer) => field(answer, 'x-version') ?? '');
}

/** The versions that answer anybody. */
export async function answering(world: World): Promise<string[]> {
  return [...new Set(await byClient(world))].toSorted();
}

export async function ended({ proxy }: World): Promise<SwapView> {
  return eventually('the end of the swap', async () => {
    const { swap: last } = await web(proxy);
    return last?.finished === true ? last : null;
  });
}

export async function crash({ proxy }: World): Promise<void> {
  await proxy.kill();
  await proxy.restart();
}

/** Requests that stay at the backends of a version; they are lost with the proxy. */
export async function hold({ proxy, backends }: World, version: string): Promise<void> {
  void proxy.send({ target: '/hold' }, 60_000).catch(() => undefined);
  await eventually('the request', async () => (await backends.record(version)).held === 1);
}
