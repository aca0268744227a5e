import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';

/** What is used here of the context inside a `SecureContext`: Node's own way to have more than one key, without a name of its own in `tls`. */
interface TicketContext {
  enableTicketKeyCallback(): void;
  onticketkeycallback: (name: Buffer, iv: Buffer, encrypts: boolean) => readonly [verdict: number, hmac: Buffer, aes: Buffer, name?: Buffer, iv?: Buffer];
}

const PART_BYTES = 16;
/** A full handshake; the session, and its ticket stays; the session, and a new ticket. */
const VERDICT = { unknown: 0, taken: 1, renewed: 2 } as const;
const NO_KEY = Buffer.alloc(PART_BYTES);

/**
 * Takes the tickets of several keys; new ones are encrypted with the first. It calls into JavaScript for each ticket, which the single
 * key of a context does not: so it is for the time in which there are several.
 * @param keys 48 bytes each, as `ticketKeys` of a context has them: name, HMAC key, AES key.
 */
export function takeTickets({ context }: SecureContext, keys: readonly Uint8Array[]): void {
  const parts = keys.map((key) => [0, 1, 2].map((part) => Buffer.from(key.slice(part * PART_BYTES, (part + 1) * PART_BYTES))));
  const [[name, hmac, aes]] = parts;
  const inner = context as TicketContext;
  inner.enableTicketKeyCallback();
  inner.onticketkeycallback = (asked, _iv, encrypts) => {
    if (encrypts) return [VERDICT.taken, hmac, aes, name, randomBytes(PART_BYTES)];
    const at = parts.findIndex(([known]) => known.equals(asked));
    if (at === -1) return [VERDICT.unknown, NO_KEY, NO_KEY];
    return [at === 0 ? VERDICT.taken : VERDICT.renewed, parts[at][1], parts[at][2]];
  };
}
