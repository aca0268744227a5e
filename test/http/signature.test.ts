import t from 'tap';
import { execFileSync } from 'node:child_process';
import { signatureOf, signedFields } from '../../src/http/signature.ts';

const OPENSSL = 'openssl';
const MESSAGE = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: '{"test": 2432232314}' };

t.test('the example of the Standard Webhooks specification', async (t) => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  t.equal(signatureOf(MESSAGE, secret), 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  t.strictSame(signedFields(MESSAGE, secret), {
    'webhook-id': MESSAGE.id,
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

t.test('a plain secret is a key as it is; openssl computes the same', async (t) => {
  const message = { ...MESSAGE, body: '{"name":"Grüße"}' };
  const signed = execFileSync(OPENSSL, ['dgst', '-sha256', '-hmac', 'a plain secret', '-binary'], {
    input: `${message.id}.${message.timestamp}.${message.body}`,
  });
  t.equal(signatureOf(message, 'a plain secret'), `v1,${signed.toString('base64')}`);
  t.not(signatureOf({ ...message, timestamp: 1_614_265_331 }, 'a plain secret'), signatureOf(message, 'a plain secret'));
  t.not(signatureOf({ ...message, id: 'other' }, 'a plain secret'), signatureOf(message, 'a plain secret'));
});
