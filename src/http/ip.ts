const IPV4_PART = /^(?:0|[1-9]\d{0,2})$/;
const IPV6_GROUP = /^[0-9A-Fa-f]{1,4}$/;
const IPV6_BYTES = 16;
/** Where the IPv4 address is in an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2). */
const MAPPED_AT = 12;

/**
 * Reads an address in text: IPv4 in four decimal parts without leading zeros, or IPv6 (RFC 4291 §2.2) without a zone.
 * @returns its 4 or 16 bytes, or null.
 */
export function ipBytes(text: string): Uint8Array | null {
  const found = text.includes(':') ? ipv6Groups(text) : ipv4Parts(text);
  return found === null ? null : Uint8Array.from(found);
}

function ipv4Parts(text: string): number[] | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => IPV4_PART.test(part) && Number(part) < 256)) return null;
  return parts.map(Number);
}

function ipv6Groups(text: string): number[] | null {
  const sides = text.split('::');
  if (sides.length > 2) return null;
  const left = sideBytes(sides[0], sides.length === 1);
  const right = sides.length === 1 ? [] : sideBytes(sides[1], true);
  if (left === null || right === null) return null;
  const given = left.length + right.length;
  // `::` stands for one group or more.
  if (sides.length === 1 ? given !== IPV6_BYTES : given > IPV6_BYTES - 2) return null;
  return [...left, ...Array.from({ length: IPV6_BYTES - given }, () => 0), ...right];
}

/** The bytes of the groups on one side of `::`; the last may be an IPv4 address. */
function sideBytes(side: string, mayEndInIpv4: boolean): number[] | null {
  if (side === '') return [];
  const groups = side.split(':');
  const found: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (IPV6_GROUP.test(group)) {
      const value = Number.parseInt(group, 16);
      found.push(value >> 8, value & 0xff);
      continue;
    }
    const last = mayEndInIpv4 && i === groups.length - 1 ? ipv4Parts(group) : null;
    if (last === null) return null;
    found.push(...last);
  }
  return found;
}

/** The one text of an address of 4 or 16 bytes (RFC 5952 §4); an IPv4-mapped one is IPv4. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(MAPPED_AT).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[i * 2] << 8) | bytes[i * 2 + 1]);
  const { at, length } = longestZeros(groups);
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return length < 2 ? text(0, 8) : `${text(0, at)}::${text(at + length, 8)}`;
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  const longest = { at: 0, length: 0 };
  for (let at = 0; at < groups.length; at++) {
    let end = at;
    while (end < groups.length && groups[end] === 0) end++;
    if (end - at > longest.length) Object.assign(longest, { at, length: end - at });
    at = end;
  }
  return longest;
}

/** The same address in 16 bytes: an IPv4 address as IPv4-mapped IPv6. */
export function mapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length === IPV6_BYTES) return bytes;
  const long = new Uint8Array(IPV6_BYTES);
  long[10] = long[11] = 0xff;
  long.set(bytes, MAPPED_AT);
  return long;
}

const DOT = 0x2e;
const ZERO = 0x30;

/** Whether a text is an IPv4 address. There is one text for each of these, and most clients have one: looked at without taking it apart. */
export function isIpv4(text: string): boolean {
  if (text.length > 15) return false;
  let dots = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || ++dots > 3) return false;
      digits = value = 0;
      continue;
    }
    value = value * 10 + code - ZERO;
    if (code < ZERO || code > ZERO + 9 || value > 255 || (digits++ > 0 && value < 10)) return false;
  }
  return dots === 3 && digits > 0;
}

/**
 * The one text of an address, so that equal addresses are equal texts.
 * @returns null for what is not an address.
 */
export function plainIp(text: string): string | null {
  if (isIpv4(text)) return text;
  const bytes = ipBytes(text);
  return bytes === null ? null : ipText(bytes);
}
