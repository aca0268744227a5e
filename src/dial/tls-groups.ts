import { createSecureContext } from 'node:tls';

/** By which both sides agree on keys (RFC 8446 §4.2.7), best first, in the words of OpenSSL. */
export interface KeyGroups {
  /** What clients may choose from. */
  readonly clients: string;
  /** What backends are offered. */
  readonly backends: string;
}

/**
 * Those of Mozilla's guidelines, version 6.0: one that a quantum computer does not break afterwards, and three for peers without it.
 * A client that has sent a share for any of them is not asked for another. A backend gets a share of the first two (`*`), so that one
 * which does not know the new one need not ask for another, which would be a round trip.
 */
const GROUPS: KeyGroups = { clients: 'X25519MLKEM768:X25519:prime256v1:secp384r1', backends: '*X25519MLKEM768:*X25519:prime256v1:secp384r1' };
/** For an OpenSSL before 3.5. */
const OLDER: KeyGroups = { clients: 'X25519:prime256v1:secp384r1', backends: 'X25519:prime256v1:secp384r1' };

/** The groups that this OpenSSL has. @param takes whether it knows all of a list. */
export function keyGroups(takes: (groups: string) => boolean = isKnown): KeyGroups {
  return takes(GROUPS.clients) && takes(GROUPS.backends) ? GROUPS : OLDER;
}

function isKnown(groups: string): boolean {
  try {
    return createSecureContext({ ecdhCurve: groups }) !== null;
  } catch {
    // That it throws is the answer.
    return false;
  }
}

export const KEY_GROUPS = keyGroups();
