import t from 'tap';
import { parseAddress } from '../../src/pool/address.ts';
import { isAdmitted, isFinal, mayMove } from '../../src/pool/phase.ts';
import type { Phase } from '../../src/pool/phase.ts';

const PHASES: readonly Phase[] = ['admitting', 'standby', 'live', 'draining', 'drained', 'released', 'rejected'];

t.test('nothing becomes live that was not admitted, and nothing comes back from a final phase', async (t) => {
  for (const phase of PHASES) {
    if (mayMove(phase, 'live')) t.ok(isAdmitted(phase), `${phase} may become live`);
    if (isFinal(phase))
      t.notOk(
        PHASES.some((next) => mayMove(phase, next)),
        `${phase} is final`,
      );
    t.notOk(isAdmitted(phase) && isFinal(phase), phase);
  }
  t.same(
    PHASES.filter((phase) => mayMove(phase, 'released')),
    ['draining', 'drained'],
    'nothing is released that was not drained',
  );
  t.notOk(mayMove('live', 'rejected'));
  t.notOk(mayMove('admitting', 'live'));
});

t.test('addresses', async (t) => {
  t.same(parseAddress('127.0.0.1:80'), { host: '127.0.0.1', port: 80 });
  t.same(parseAddress('[::1]:8080'), { host: '::1', port: 8080 });
  t.same(parseAddress('app-1.internal:65535'), { host: 'app-1.internal', port: 65_535 });
  for (const bad of ['', ':80', 'a', 'a:', 'a:0', 'a:65536', 'a:b', '::1:80', 'a b:80', 'http://a:80']) t.equal(parseAddress(bad), null, bad);
});
