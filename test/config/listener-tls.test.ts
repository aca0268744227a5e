import { createPrivateKey } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { Authority } from '../helpers/certificates.ts';
import { issuesOf } from '../helpers/issues_of.ts';

t.test('what a listener may say of TLS, and what is made of it', async (t) => {
  const authority = await Authority.create(t);
  const pair = await authority.issue({ names: ['A.example', '*.b.example', '127.0.0.1'], key: 'P-384' });
  await writeFile(join(authority.dir, 'chain.pem'), pair.cert + authority.cert);
  const parse = (tls: Record<string, unknown>) => parseConfig({ listeners: [{ port: 443, tls }] }, { folder: authority.dir }).listeners[0].tls!;
  const tls = parse({ certificates: [{ cert: 'chain.pem', key: 'pair-0.key' }] });
  t.match(tls, { minVersion: 'TLSv1.2', http2: true, clientAuth: null });
  t.match(tls.certificates, [
    { names: ['a.example', '*.b.example'], addresses: ['127.0.0.1'], keyType: 'EC P-384', file: 'chain.pem', issuer: 'CN=test authority' },
  ]);
  t.equal(tls.certificates[0].cert.match(/BEGIN CERTIFICATE/g)?.length, 2, 'the chain goes with it');
  const nameless = await authority.issue({ names: ['a.example'], subject: '/' });
  t.match(
    parse({ certificates: [{ cert: nameless.cert, key: nameless.key }] }).certificates,
    [{ names: ['a.example'], subject: '' }],
    'a subject may be empty',
  );
  const inline = parse({ certificates: [{ cert: pair.cert, key: pair.key }], clientAuth: { ca: authority.cert, mode: 'request', headers: { issuer: null } } });
  t.equal(inline.certificates[0].file, null);
  t.match(inline.clientAuth, { required: false, fields: { subject: 'X-Client-Cert-Subject', issuer: null, names: 'X-Client-Cert-Names' } });
});

t.test('a key comes into no message, whatever it was taken for', async (t) => {
  const authority = await Authority.create(t);
  const { certFile: cert, key } = await authority.issue();
  const [first, bare] = [key.split('\n')[0], key.split('\n').slice(1, -2).join('')];
  const acme = { domains: ['a.example'], termsAgreed: true, eab: { kid: 'me', hmacKey: `${bare}+/` } };
  const told = (tls: Record<string, unknown>, folder?: string) => issuesOf(() => parseConfig({ listeners: [{ port: 443, tls }] }, { folder }));
  for (const [tls, folder] of [
    [{ certificates: [{ cert, key: bare }] }, authority.dir],
    [{ certificates: [{ cert, key: bare }] }, undefined],
    [{ certificates: [{ cert, key: `${first}\0${bare}` }] }, authority.dir],
    [{ acme }, authority.dir],
  ] as const) {
    const text = JSON.stringify(told(tls, folder));
    t.match(text, /text without a BEGIN line|a value that is not shown/);
    t.notMatch(text, bare.slice(0, 20));
  }
});

t.test('what is wrong is told with its place, the file and the reason', async (t) => {
  const authority = await Authority.create(t);
  const [one, two] = [await authority.issue(), await authority.issue()];
  const [weak, odd] = [await authority.issue({ key: 1024 }), await authority.issue({ key: 'P-521' })];
  const write = (name: string, text: string): Promise<void> => writeFile(join(authority.dir, name), text);
  await write('reversed.pem', authority.cert + one.cert);
  await write('strange.pem', one.cert + two.cert);
  await write('empty.pem', '');
  await write('damaged.pem', one.cert.replace(/\n[^\n-]{64}\n/, '\nAAAA\n'));
  const locked = createPrivateKey(one.key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' });
  await write('locked.key', locked);
  const pair = (cert: string, key: string): unknown => ({ certificates: [{ cert, key }] });
  const good = { cert: 'pair-0.pem', key: 'pair-0.key' };
  const cases: readonly (readonly [string, unknown, string, string | RegExp])[] = [
    ['no certificates', {}, '', /at least one certificate, or acme/],
    ['none', { certificates: [] }, '', /at least one certificate, or acme/],
    ['an unknown field', { certificates: [good], ciphers: 'ALL' }, 'ciphers', /not a known field/],
    ['an old version', { certificates: [good], minVersion: 'TLSv1' }, 'minVersion', /expected 'TLSv1.2' or 'TLSv1.3', got 'TLSv1'/],
    ['no file', pair('gone.pem', 'pair-0.key'), 'certificates[0].cert', "expected a file of certificates (PEM), got 'gone.pem', which is not there"],
    ['a folder', pair('.', 'pair-0.key'), 'certificates[0].cert', /which is not a file/],
    ['nothing in it', pair('empty.pem', 'pair-0.key'), 'certificates[0].cert', /'empty.pem', which holds none/],
    ['damage', pair('damaged.pem', 'pair-0.key'), 'certificates[0].cert', /'damaged.pem', in which one is damaged/],
    ['a passphrase', pair('pair-0.pem', 'locked.key'), 'certificates[0].key', /a private key without a passphrase \(PEM\), got 'locked.key', which is none/],
    [
      'another key',
      pair('pair-0.pem', 'pair-1.key'),
      'certificates[0].key',
      "expected the key of the certificate 'pair-0.pem', got 'pair-1.key', which belongs to another",
    ],
    ['a chain the wrong way round', pair('reversed.pem', 'pair-0.key'), 'certificates[0].cert', /the certificate of the key first, got 'reversed.pem'/],
    [
      'a chain that is none',
      pair('strange.pem', 'pair-0.key'),
      'certificates[0].cert',
      /each issued by the next, got 'strange.pem', whose number 2 did not issue number 1/,
    ],
    ['a weak key', pair(weak.certFile, weak.keyFile), 'certificates[0].cert', /RSA with at least 2048 bits, EC P-256 or EC P-384/],
    ['a curve that clients do not offer', pair(odd.certFile, odd.keyFile), 'certificates[0].cert', /EC P-256 or EC P-384/],
    ['no authorities', { certificates: [good], clientAuth: { ca: 'pair-0.key' } }, 'clientAuth.ca', /'pair-0.key', which holds none/],
    ['a mode', { certificates: [good], clientAuth: { ca: 'ca.pem', mode: 'maybe' } }, 'clientAuth.mode', /expected 'require' or 'request'/],
    [
      'a header that means something',
      { certificates: [good], clientAuth: { ca: 'ca.pem', headers: { subject: 'X-Forwarded-For' } } },
      'clientAuth.headers.subject',
      /no other meaning/,
    ],
    [
      'one header for two things',
      { certificates: [good], clientAuth: { ca: 'ca.pem', headers: { subject: 'A', issuer: 'a' } } },
      'clientAuth.headers',
      /a field of its own for each/,
    ],
  ];
  for (const [name, tls, place, message] of cases) {
    const issues = issuesOf(() => parseConfig({ listeners: [{ port: 443, tls }] }, { folder: authority.dir }));
    t.match(issues, [{ path: place === '' ? 'listeners[0].tls' : `listeners[0].tls.${place}`, message }], name);
  }
  const both = issuesOf(() => parseConfig({ listeners: [{ port: 443, http2: true, tls: { certificates: [good] } }] }, { folder: authority.dir }));
  t.match(both, [{ path: 'listeners[0].http2', message: /tls\.http2/ }], 'h2c on a listener that ends TLS');
  const nowhere = issuesOf(() => parseConfig({ listeners: [{ port: 443, tls: pair('a.pem', 'a.key') }] }));
  t.match(nowhere, [{ message: /only a configuration file may name files/ }, { message: /only a configuration file may name files/ }]);
  t.notMatch(
    JSON.stringify(cases.map(([, tls]) => issuesOf(() => parseConfig({ listeners: [{ port: 443, tls }] }, { folder: authority.dir })))),
    /BEGIN|PRIVATE/,
  );
});
