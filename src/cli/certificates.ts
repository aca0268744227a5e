import type { CertificateView, ReloadView } from '../control/operations.ts';
import { painter } from './_terminal.ts';
import { plural, table } from './_text.ts';
import { EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;

/** What should be done something about; one sentence each. */
export function certificateTroubles(views: readonly CertificateView[], now: number): string[] {
  return views.flatMap(({ listener, names, subject, notAfter, refused, acme }) => {
    const about = `certificate ${names.at(0) ?? subject} of ${listener}`;
    const left = Math.floor((Date.parse(notAfter) - now) / DAY_MS);
    const late =
      left >= (acme === null ? SOON_DAYS : 0) ? [] : [left < 0 ? `${about} has expired` : `${about} expires in ${left} ${left === 1 ? 'day' : 'days'}`];
    if (acme !== null && acme.problem !== null) {
      const shown = acme.state === 'waiting' ? 'could not be had, and a self-signed one is shown' : 'could not be renewed';
      return [...late, `${about} ${shown}; it is tried again at ${acme.nextAt}: ${acme.problem}`];
    }
    return refused === null ? late : [...late, `${about} was not replaced: ${refused}`];
  });
}

/** Which certificate is the first to expire, and when; null = no listener ends TLS. */
export function firstToExpire(views: readonly CertificateView[], now: number): string | null {
  if (views.length === 0) return null;
  const { names, subject, listener, notAfter, acme } = views.reduce((a, b) => (Date.parse(b.notAfter) < Date.parse(a.notAfter) ? b : a));
  const left = Math.floor((Date.parse(notAfter) - now) / DAY_MS);
  const when = left < 0 ? `expired on ${notAfter.slice(0, 10)}` : `on ${notAfter.slice(0, 10)}, in ${plural(left, 'day')}`;
  const renewal = acme === null ? '' : `; it is renewed on ${acme.nextAt.slice(0, 10)}`;
  return `${plural(views.length, 'certificate')}, the first to expire: ${names.at(0) ?? subject} of ${listener}, ${when}${renewal}`;
}

function lines(views: readonly CertificateView[], call: Call): string[] {
  if (views.length === 0) return ['no listener ends TLS'];
  const paint = painter(call.io.stdout, call.io.env);
  const rows = views.map(({ listener, names, subject, keyType, issuer, notAfter, file, acme }) => [
    listener,
    names.join(' ') || subject,
    keyType,
    notAfter.slice(0, 10),
    issuer,
    acme === null ? (file ?? 'inline') : `acme (${acme.state})`,
  ]);
  const troubles = certificateTroubles(views, Date.now()).map((text) => paint('yellow', `! ${text}`));
  return [...table(['LISTENER', 'NAMES', 'KEY', 'EXPIRES', 'ISSUER', 'FILE'], rows), ...troubles];
}

/** `switchyard certificates`: what listeners show to clients, and until when. */
export const certificatesVerb: Verb = {
  name: 'certificates',
  args: [],
  flags: { reload: { type: 'boolean', help: 'reads their files again first; exit code 1 when any was refused' } },
  summary: 'shows the certificates of the listeners',
  details:
    'Each certificate with its names, key, issuer, when it expires and where it comes from. What expires within 14 days, could not be renewed or was refused at the last reading is told below the table.',
  examples: ['switchyard certificates', 'switchyard certificates --reload'],
  run: async (call) => {
    const { api } = call;
    if (!call.has('reload')) {
      const { body } = await api.call<CertificateView[]>('GET', '/v1/certificates');
      call.print(body, lines(body, call));
      return EXIT.done;
    }
    const { body } = await api.call<ReloadView>('POST', '/v1/certificates/reload');
    const said = [`${body.reloaded} replaced, ${body.refused.length} refused`, ...lines(body.certificates, call)];
    call.print(body, said);
    return body.refused.length === 0 ? EXIT.done : EXIT.failed;
  },
};
