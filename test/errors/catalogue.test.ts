import t from 'tap';
import { FAILURE, FAILURE_LIST, REFUSAL, REJECT, REJECT_LIST, Refusal } from '../../src/errors/catalogue.ts';

const all = [...Object.values(REJECT), ...Object.values(FAILURE), ...Object.values(REFUSAL)];

t.test('codes are stable words, each used once within its plane', async (t) => {
  for (const group of [[...REJECT_LIST, ...FAILURE_LIST], Object.values(REFUSAL)]) {
    t.equal(new Set(group.map(({ code }) => code)).size, group.length);
  }
  for (const { code } of all) t.match(code, /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
});

t.test('the status says who is to blame', async (t) => {
  for (const { code, status, blame, text } of all) {
    if (blame === 'upstream') t.ok(status === 502 || status === 504, `${code} is ${status}`);
    else if (blame === 'proxy') t.ok(status === 503 || status === 500, `${code} is ${status}`);
    else t.ok((status >= 400 && status < 500) || [200, 501, 505, 507].includes(status), `${code} is ${status}`);
    t.match(text, /^[A-Z].*\.$/, `${code} is told in a sentence`);
  }
});

t.test('a fault cannot be changed by whoever answers with it', async (t) => {
  for (const one of all) t.ok(Object.isFrozen(one), one.code);
});

t.test('a refusal carries the facts of its case', async (t) => {
  const plain = new Refusal(REFUSAL.noSwap);
  t.match(plain, { message: REFUSAL.noSwap.text, facts: {}, errors: [] });
  t.ok(plain instanceof Error);
  const detailed = new Refusal(REFUSAL.swapRunning, 'web is being swapped.', { swap: 's1' }, [{ path: 'to', message: 'no' }]);
  t.match(detailed, { message: 'web is being swapped.', facts: { swap: 's1' }, errors: [{ path: 'to' }], fault: { status: 409 } });
});
