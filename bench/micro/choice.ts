import { pick } from '../../src/balance/pick.ts';
import { Rotation } from '../../src/balance/rotation.ts';
import { RequestHead } from '../../src/http/request-head.ts';
import { ControlLedger } from '../../src/ledger/control.ts';
import { KIND, OUTCOME, ThreadLedger } from '../../src/ledger/thread.ts';
import type { Balance } from '../../src/pool/policy.ts';
import { bucketOf, hashText } from '../../src/pool/split.ts';
import { AccessLog } from '../../src/proxy/access-log.ts';
import { RouteMap } from '../../src/proxy/routes.ts';
import { repeated } from './case.ts';
import type { Case } from './case.ts';
import { LIMITS, requestBytes } from './codec.ts';

/** One route is a catch-all; of many, a path each, the last of which is asked for. */
function finding(count: number): Case {
  const paths = count === 1 ? ['/'] : Array.from({ length: count }, (_, i) => `/r/${i}`);
  const routes = new RouteMap(paths.map((path) => ({ host: '*', path, upstream: 'bench', rules: null })));
  const bytes = requestBytes('browser', `/r/${count - 1}/small`);
  const head = new RequestHead(LIMITS);
  head.begin(0);
  if (!head.parse(bytes, bytes.length)) throw new Error('the request of the bench is not valid');
  return repeated(`find route, ${count} of them`, () => ('upstream' in routes.find(head, bytes) ? 1 : NaN));
}

interface Books {
  readonly thread: ThreadLedger;
  readonly slots: readonly number[];
}

/** A ledger of two threads in which backends are available, and the view of the first. */
function books(backends: number): Books {
  const control = new ControlLedger(2, backends + 1);
  const slots = control.takeSlots(backends + 1) ?? [];
  for (const slot of slots) {
    control.setAvailable(slot, true);
    control.setWeight(slot, 1000);
  }
  return { thread: new ThreadLedger(control.buffer, 0), slots };
}

function picking(balance: Balance, count: number): Case {
  const { thread, slots } = books(count);
  const backends = slots.slice(0, count).map((slot, i) => ({ slot, address: `10.0.0.${i}:80`, weight: 1 }));
  const rotation = new Rotation(backends, balance, { connections: null, sockets: null });
  const tried: number[] = [];
  return repeated(`pick, ${balance}, ${count} backend${count === 1 ? '' : 's'}`, (i) => pick(rotation, thread, tried, i, Math.random));
}

function splitting(): Case {
  const seed = hashText('web');
  const keys = Array.from({ length: 64 }, (_, i) => `192.0.2.${i}`);
  return repeated('split, by client address', (i) => bucketOf(seed, keys[i & 63]));
}

function counting(): Case {
  const { thread, slots } = books(1);
  const [backend, version] = slots;
  return repeated('ledger: claim, answer, settle', (i) => {
    thread.claim(backend, version, 1_700_000_000_000);
    thread.answered(backend, 200, (i & 1023) / 100, 0, 13);
    thread.settle(backend, version, OUTCOME.completed, KIND.http);
    return 1;
  });
}

function logging(): Case {
  let bytes = 0;
  const log = new AccessLog('full', (batch) => (bytes += batch.length));
  const entry = {
    at: '2026-11-02T10:00:00.000Z',
    client: '192.0.2.7',
    method: 'GET',
    host: 'www.example.com',
    target: '/catalogue/shoes?page=3',
    status: 200,
    protocol: 'HTTP/1.1' as const,
    ms: 1.234,
    bytesIn: 0,
    bytesOut: 5_120,
    upstream: 'web',
    version: 'v42',
    backend: '10.0.0.1:80',
    retries: 0,
    requestId: '8f14e45fceea167a5a36dedd4bea2543',
    reason: null,
  };
  return repeated('access log line', () => {
    log.write({ ...entry, ms: bytes & 1 });
    return 1;
  });
}

export function choiceCases(): Case[] {
  return [
    finding(1),
    finding(100),
    finding(10_000),
    picking('least-in-flight', 1),
    picking('least-in-flight', 10),
    picking('round-robin', 10),
    picking('maglev', 10),
    splitting(),
    counting(),
    logging(),
  ];
}
