/** Certificates of a listener, one by one: what is in force, and what becomes of it when it is read again. */
import { readPair } from '../config/certificates.ts';
import type { ListenerTls, LoadedCertificate, PairSource, Read } from '../config/certificates.ts';
import type { Issue } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import { TlsContexts } from '../listen/tls-contexts.ts';
import type { TlsPolicy } from '../pool/tls.ts';

/** A certificate of a listener that is in force, and what became of the last try to replace it. */
export interface Slot {
  readonly source: PairSource;
  certificate: LoadedCertificate;
  /** Epoch milliseconds. */
  loadedAt: number;
  triedAt: number;
  /** Why the last try was refused. */
  refused: string | null;
}

/** PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Those that have not changed stay what they are. */
export function issuedSlots(pairs: readonly Pair[], before: readonly Slot[], now: number): Slot[] {
  return pairs.map((source) => {
    const known = before.find((slot) => slot.source.cert === source.cert && slot.source.key === source.key);
    if (known !== undefined) return known;
    const read = readPair(source, null, ['acme']);
    if ('issues' in read) throw new Error(read.issues.map(({ message }) => message).join('; '));
    return { source, certificate: read.found, loadedAt: now, triedAt: now, refused: null };
  });
}

/** The slot after a try to read its certificate again. */
export function renewed(slot: Slot, read: Read<LoadedCertificate>, now: number): Slot {
  const kept = { ...slot, triedAt: now };
  if ('issues' in read) return { ...kept, refused: reasonOf(read.issues) };
  const { found } = read;
  if (found.cert === slot.certificate.cert && found.key === slot.certificate.key) return { ...kept, refused: null };
  if (found.notAfter < now && slot.certificate.notAfter >= now)
    return { ...kept, refused: `${found.file ?? 'the certificate'} has expired on ${day(found.notAfter)}, and the one in force has not` };
  return { ...kept, certificate: found, loadedAt: now, refused: null };
}

export function policy({ minVersion, http2, clientAuth }: ListenerTls, slots: readonly Slot[], ticketKeys: readonly Uint8Array[]): TlsPolicy {
  return {
    certificates: slots.map(({ certificate: { names, cert, key } }) => ({ names, cert, key })),
    minVersion,
    http2,
    clientAuth: clientAuth === null ? null : { ca: clientAuth.ca, required: clientAuth.required, fields: clientAuth.fields },
    ticketKeys,
  };
}

/** Why OpenSSL does not take it, or null. Tried here, so that a data thread is never told something that it cannot do. */
export function unusable(tls: TlsPolicy): string | null {
  try {
    new TlsContexts(tls).check();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

export function reasonOf(issues: readonly Issue[]): string {
  return issues.map(({ path, message }) => `${path}: ${message}`).join('; ');
}

export function nameOf({ names, addresses, subject }: LoadedCertificate): string {
  return names.at(0) ?? addresses.at(0) ?? subject;
}

export function iso(at: number): string {
  return new Date(at).toISOString();
}

export function day(at: number): string {
  return iso(at).slice(0, 10);
}
