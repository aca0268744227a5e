import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Test } from 'tap';
import { acmeWorld, issuedFor, shown } from '../helpers/acme.ts';
import { Authority } from '../helpers/certificates.ts';
import { InProcess } from '../helpers/control.ts';
import type { Pebble } from '../helpers/pebble.ts';
import { eventually } from '../helpers/wait.ts';

const DAY_MS = 86_400_000;

/** Pebble, with what it does not have: renewal information (RFC 9773). Its directory names it; all else is pebble's own. */
class Informed {
  /** Ids of certificates that were asked about. */
  readonly asked: string[] = [];
  /** Those that should be replaced at once. */
  readonly urgent = new Set<string>();
  directory = '';
  ca = '';

  static async start(t: Test, pebble: Pebble): Promise<Informed> {
    const [here, authority] = [new Informed(), await Authority.create(t)];
    const { cert, key } = await authority.issue();
    const agent = new Agent({ ca: pebble.ca });
    const server = createServer({ cert, key }, (request, response) => {
      const id = /^\/info\/(.+)$/.exec(request.url ?? '')?.[1];
      if (id === undefined) {
        get(pebble.directory, { agent }, (found) => {
          void text(found).then((body) => response.end(JSON.stringify({ ...(JSON.parse(body) as object), renewalInfo: `${base}/info` })));
        });
        return;
      }
      here.asked.push(id);
      const from = Date.now() + (here.asked[0] === id ? -DAY_MS : DAY_MS / 2);
      const suggestedWindow = { start: new Date(from).toISOString(), end: new Date(from + 1000).toISOString() };
      response.setHeader('Retry-After', '3600').end(JSON.stringify({ suggestedWindow }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    });
    const base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    here.directory = `${base}/dir`;
    here.ca = `${pebble.ca}\n${authority.cert}`;
    return here;
  }
}

t.test('a certificate is renewed when its authority asks for it, long before two thirds of its life', async (t) => {
  const { pebble, https, config } = await acmeWorld(t, { validity: DAY_MS / 1000 });
  const informed = await Informed.start(t, pebble);
  const [plain, { tls, ...listener }] = config.listeners as [object, { tls: { acme: object } }];
  const acme = { ...tls.acme, directory: informed.directory, ca: informed.ca };
  const proxy = await InProcess.start(t, { ...config, listeners: [plain, { ...listener, tls: { acme } }] });
  await issuedFor(https, 'a.example');
  await eventually('a renewal', () => proxy.control.acme.renewals.issued === 2, 60_000);
  await eventually('a question about the new one', () => informed.asked.length > 1);
  const [first, second] = informed.asked;
  const { serialNumber, fingerprint256 } = await shown(https, 'a.example');
  const serialOf = (id: string): string => Buffer.from(id.split('.')[1], 'base64url').toString('hex').replace(/^0+/, '').toUpperCase();
  t.equal(serialOf(second), serialNumber.replace(/^0+/, ''), 'it is asked for by its serial number');
  t.not(serialOf(first), serialOf(second));
  t.equal(first.split('.')[0], second.split('.')[0], 'and the key of the authority');
  const isNext = (): boolean => Math.abs(proxy.control.acme.status()[0].nextAt - Date.now() - DAY_MS / 2) < 60_000;
  await eventually('the next one to be when the authority says', isNext);
  t.strictSame(proxy.control.acme.renewals, { issued: 2, failed: 0 });
  t.equal(proxy.events.filter(({ type }) => type === 'certificate-issued').length, 2);
  t.ok(new X509Certificate((await shown(https, 'a.example')).raw).fingerprint256 === fingerprint256, 'it is not renewed again');
});
