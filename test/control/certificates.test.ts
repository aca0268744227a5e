import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { Certificates } from '../../src/control/certificates.ts';
import type { TlsPolicy } from '../../src/pool/tls.ts';
import { Authority } from '../helpers/certificates.ts';

t.test('authorities of clients that cannot be read are refused: the reload says so, and the old ones stay', async (t) => {
  const [authority, another] = [await Authority.create(t), await Authority.create(t)];
  const { certFile: cert, keyFile: key } = await authority.issue();
  const ca = join(authority.dir, 'clients.pem');
  await writeFile(ca, authority.cert);
  const { listeners } = parseConfig({ listeners: [{ port: 443, tls: { certificates: [{ cert, key }], clientAuth: { ca } } }] }, { folder: authority.dir });
  const renewed: ReadonlyMap<number, TlsPolicy>[] = [];
  const events: unknown[] = [];
  const certificates = new Certificates({
    renew: async (policies) => void renewed.push(policies),
    emit: ({ type, data }) => void events.push([type, data.file]),
    acme: () => [],
    tell: () => undefined,
  });
  t.teardown(() => certificates.close());
  await certificates.start(listeners, new Map(), Date.now());
  await writeFile(ca, 'nothing');
  for (const _ of [1, 2]) t.match((await certificates.reload('a test')).refused, [{ file: ca, reason: /clientAuth\.ca: .*which holds none/ }]);
  t.same(events, [['certificate-refused', ca]], 'and is told once');
  t.match(certificates.facts().at(-1), /^the authorities of clients were not replaced: .*which holds none/);
  t.equal(renewed.length, 0);
  await writeFile(ca, another.cert);
  t.same((await certificates.reload('a test')).refused, []);
  t.equal(renewed[0].get(0)?.clientAuth?.ca.trim(), another.cert.trim());
  t.notMatch(certificates.facts().join(), 'authorities');
});
