import { randomBytes } from 'node:crypto';
import t from 'tap';
import { TlsContexts } from '../../src/listen/tls-contexts.ts';
import type { Certificate, TlsPolicy } from '../../src/pool/tls.ts';
import { Authority } from '../helpers/certificates.ts';

const authority = await Authority.create(t);
const [ec, rsa] = [await authority.issue(), await authority.issue({ key: 2048 })];
const pair = ({ cert, key }: { cert: string; key: string }, ...names: string[]): Certificate => ({ names, cert, key });

function policy(...certificates: Certificate[]): TlsPolicy {
  return { certificates, minVersion: 'TLSv1.2', http2: true, clientAuth: null, ticketKeys: [randomBytes(48)] };
}

t.test('a context is made when it is first asked for, so that many certificates are replaced without a pause', async (t) => {
  const wrong = { cert: ec.cert, key: (await authority.issue()).key };
  const contexts = new TlsContexts(policy(pair(ec, 'good.example'), pair(wrong, 'bad.example')));
  t.equal(contexts.find('good.example'), contexts.fallback);
  t.equal(contexts.find('good.example'), contexts.find('GOOD.example'), 'once');
  t.throws(() => contexts.check(), { message: /key values mismatch/ }, 'a reload looks at all of them before any thread is told');
});

t.test('names that are shown the same certificates share a context', (t) => {
  const contexts = new TlsContexts(policy(pair(ec, 'a.example', '*.a.example'), pair(rsa, 'a.example', 'b.example'), pair(ec, 'c.example')));
  contexts.check();
  t.equal(contexts.different, 4, 'both; each of the two; another');
  t.equal(contexts.fallback, contexts.find('a.example'), 'the first with what is beside it');
  t.not(contexts.find('x.a.example'), contexts.fallback, 'the wildcard has one certificate');
  t.equal(contexts.find('x.y.a.example'), contexts.fallback, 'a wildcard is one label');
  t.equal(contexts.find('unknown.example'), contexts.fallback);
  t.equal(new TlsContexts(policy(pair(ec))).different, 1, 'a certificate may have no name');
  t.end();
});
