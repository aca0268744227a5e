import type { ClientFields } from '../pool/tls.ts';
import { FOLD, bytes } from './chars.ts';
import { foldedName } from './edit-fields.ts';

/** What a certificate says of its holder, as the TLS layer tells it. */
export interface Holder {
  readonly subject: string;
  readonly issuer: string;
  /** `AA:BB:…` */
  readonly fingerprint: string;
  /** `DNS:a.example, URI:…`; '' = none. */
  readonly names: string;
}

const MOST_VALUE = 4_096;

/** A distinguished name as one line. Node writes it over several, and has none for an empty one, as certificates with a SPIFFE id or no common name have. */
export function nameLine(name: string | undefined): string {
  return name === undefined ? '' : name.replaceAll('\n', ', ');
}

/** Field lines that tell a backend whose certificate the client has shown. */
export function identityLines(fields: ClientFields, { subject, issuer, fingerprint, names }: Holder): string {
  const lines = [
    [fields.subject, subject],
    [fields.issuer, issuer],
    [fields.fingerprint, fingerprint.replaceAll(':', '').toLowerCase()],
    [fields.names, names],
  ] as const;
  return lines.map(([name, value]) => (name === null || value === '' ? '' : `${name}: ${fieldText(value)}\r\n`)).join('');
}

/** An authority lets people choose their names: what is not plain ASCII goes percent-encoded, and a line ends only where we end it. */
function fieldText(value: string): string {
  const plain = Buffer.from(value, 'utf8').toString('latin1');
  const safe = plain.replaceAll(/[^\x20-\x7e]|%/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
  return safe.trim().slice(0, MOST_VALUE);
}

/** Names of request fields that only the proxy says: whoever sends them, they go no further. */
export class ReservedFields {
  /** No names: there is nothing to look for. */
  none = true;
  private names: readonly Uint8Array[] = [];

  /** These instead of the ones before. */
  set(fields: Iterable<ClientFields>): void {
    const all = [...fields].flatMap(({ subject, issuer, fingerprint, names }) => [subject, issuer, fingerprint, names]);
    const known = new Set(all.flatMap((name) => (name === null ? [] : [foldedName(name)])));
    this.names = [...known].map((name) => bytes(name));
    this.none = known.size === 0;
  }

  /** Whether the name in bytes [from, to) is one of them, `_` taken for `-`. */
  has(buf: Uint8Array, from: number, to: number): boolean {
    next: for (const name of this.names) {
      if (name.length !== to - from) continue;
      for (let i = 0; i < name.length; i++) if (FOLD[buf[from + i]] !== name[i]) continue next;
      return true;
    }
    return false;
  }
}
