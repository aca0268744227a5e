import t from 'tap';
import { Backends } from '../helpers/backends.ts';
import { CALLER, InProcess } from '../helpers/control.ts';
import { field } from '../helpers/message.ts';
import { RawClient } from '../helpers/raw_client.ts';

const SWAPS = 8;
const CLIENTS = 12;

t.test('a thread that nobody has told of the cutover sees it at its next request', async (t) => {
  const backends = await Backends.start(t);
  const versions = { v0: { backends: await backends.listen('v0', 1) } };
  const proxy = await InProcess.start(t, { upstreams: { web: { routes: [{}], health: { kind: 'none' }, versions } } });
  const { control } = proxy;
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(proxy.port)));
  t.teardown(() => clients.forEach((client) => client.destroy()));
  const ask = async (): Promise<(string | null)[]> => Promise.all(clients.map(async (client) => field(await client.request(), 'x-version')));
  t.strictSame(new Set(await ask()), new Set(['v0']));
  // No message any more that wakes the threads up: what they see, they see in the ledger.
  control.threads.committed = () => undefined;
  for (let n = 1; n <= SWAPS; n++) {
    const to = `v${n}`;
    const addresses = await backends.listen(to, 1);
    const answered = Promise.withResolvers<(string | null)[]>();
    const off = control.operator.onEvent(({ type, version }) => {
      if (type === 'live' && version === to) ask().then(answered.resolve, answered.reject);
    });
    await control.operator.swap('web', { to, backends: addresses.map((address) => ({ address, weight: 1 })) }, CALLER);
    t.strictSame(
      await answered.promise,
      clients.map(() => to),
      `everybody is with ${to} from that moment on`,
    );
    off();
    const { counts, acks, generation } = await proxy.receipt('web', `v${n - 1}`);
    t.equal(counts.started, CLIENTS);
    t.ok(Object.values(acks).every((ack) => ack >= generation));
  }
});
