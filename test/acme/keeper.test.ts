import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { AcmeKeeper } from '../../src/acme/keeper.ts';
import type { KeeperParts } from '../../src/acme/keeper.ts';
import { AcmeStore } from '../../src/acme/store.ts';
import type { Pair } from '../../src/acme/x509.ts';
import type { AcmePolicy } from '../../src/pool/acme.ts';
import { Pebble } from '../helpers/pebble.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

interface World {
  readonly keeper: AcmeKeeper;
  readonly store: AcmeStore;
  readonly policy: AcmePolicy;
  /** What the listener was to show, each time. */
  readonly installed: (readonly Pair[])[];
  readonly failures: string[];
}

/** A store whose disk is full for so many writes of a certificate. */
class Full extends AcmeStore {
  full = 0;

  override keep(directory: string, domains: readonly string[], pair: Pair): void {
    if (this.full-- > 0) throw new Error('ENOSPC: no space left on device');
    super.keep(directory, domains, pair);
  }
}

/** The keeper beside a real authority, and a port on which its challenges are answered. */
async function world(
  t: Test,
  names: readonly string[],
  { full = 0, listeners = 1, install }: { full?: number; listeners?: number; install?: KeeperParts['install'] } = {},
): Promise<World> {
  const answers = new Map<string, string>();
  const http = createServer((request, response) => response.end(answers.get(request.url!.split('/').at(-1)!)));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const pebble = await Pebble.start(t, { httpPort: (http.address() as AddressInfo).port });
  const store = new Full(await tempDir(t), () => undefined);
  store.full = full;
  const [installed, failures]: [(readonly Pair[])[], string[]] = [[], []];
  const keeper = new AcmeKeeper({
    store,
    clock: {
      now: Date.now,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      random: () => 0,
    },
    site: {
      show: async ({ token, keyAuthorization }) => void answers.set(token, keyAuthorization),
      hide: async ({ token }) => void answers.delete(token),
    },
    retry: { first: 50, most: 50 },
    install: async (listener, pairs) => {
      installed.push(pairs);
      await install?.(listener, pairs);
    },
    emit: (type, { reason }) => void (type === 'certificate-failed' && failures.push(String(reason))),
    tell: () => undefined,
  });
  t.teardown(async () => {
    await keeper.close();
    http.close();
  });
  const groups = names.map((name) => [name]);
  const policy: AcmePolicy = { groups, email: null, directory: pebble.directory, challenges: ['http-01'], eab: null, ca: pebble.ca };
  await keeper.load(new Map(Array.from({ length: listeners }, (_, at) => [at, policy])));
  return { keeper, store, policy, installed, failures };
}

t.test('a certificate that cannot be shown is not kept, and not in the way of others', async (t) => {
  let refusals = 1;
  const { keeper, store, policy, installed, failures } = await world(t, ['a.example', 'b.example'], {
    install: async () => {
      if (refusals-- > 0) throw new Error('a chain that is none');
      return Promise.resolve();
    },
  });
  keeper.start();
  await eventually('the first try', () => failures.length > 0, 60_000);
  t.equal(store.certificate(policy.directory, ['a.example']), null, 'the next start must not stumble over it');
  t.match(keeper.status()[0], { issued: false, problem: 'a chain that is none', failures: 1 });
  await eventually('both', () => keeper.renewals.issued === 2, 60_000);
  const [[refused], [shown]] = installed;
  t.not(shown.cert, refused.cert, 'with the other one goes what was shown before');
  t.same(store.certificate(policy.directory, ['a.example']), installed.at(-1)?.[0]);
  t.same(
    keeper.status().map(({ issued, problem }) => ({ issued, problem })),
    [
      { issued: true, problem: null },
      { issued: true, problem: null },
    ],
  );
});

t.test('one that cannot be written is in force all the same, and only the writing is tried again', async (t) => {
  const { keeper, store, policy, installed, failures } = await world(t, ['a.example'], { full: 2 });
  keeper.start();
  await eventually('it is kept', () => keeper.renewals.issued === 1, 60_000);
  t.equal(installed.length, 1, 'it was ordered once');
  t.same(store.certificate(policy.directory, ['a.example']), installed[0][0]);
  t.match(failures, [/in force, and cannot be kept.*ENOSPC/, /ENOSPC/]);
  t.equal(failures.length, 2);
});

t.test('listeners of the same names share a certificate', async (t) => {
  const { keeper, installed } = await world(t, ['a.example'], { listeners: 2 });
  keeper.start();
  await eventually('both have one', () => keeper.renewals.issued === 2, 60_000);
  t.same(installed[1], installed[0], 'that was ordered once');
});
