const DOT = 0x2e;
const COLON = 0x3a;

/**
 * What an address counts as: an IPv4 client by its address, an IPv6 client by its /64, since that is what one
 * subscriber has. Into `key` go two words of the address, and the kind in the third; nothing is allocated.
 */
export function clientKey(address: string, key: Int32Array): void {
  key[0] = key[1] = 0;
  if (address.includes(':')) {
    key[2] = 6;
    for (let group = 0, at = 0; group < 4; group++) at = addGroup(address, at, group, key);
  } else {
    key[2] = 4;
    let byte = 0;
    for (let i = 0; i < address.length; i++) {
      const code = address.charCodeAt(i);
      if (code !== DOT) byte = byte * 10 + code - 0x30;
      else {
        key[0] = (key[0] << 8) | byte;
        byte = 0;
      }
    }
    key[0] = (key[0] << 8) | byte;
  }
}

/** Adds the group that begins at `at`. @returns where the next begins; where `::` stands for it, the same place as long as it stands for more. */
function addGroup(address: string, at: number, group: number, key: Int32Array): number {
  if (address.charCodeAt(at) === COLON) {
    // `::` at the beginning has one colon more than elsewhere.
    const from = at === 0 ? 2 : at + 1;
    return 8 - group > groupsFrom(address, from) ? at : addDigits(address, from, group, key);
  }
  return addDigits(address, at, group, key);
}

function addDigits(address: string, from: number, group: number, key: Int32Array): number {
  let value = 0;
  let at = from;
  for (; at < address.length && address.charCodeAt(at) !== COLON; at++) value = (value << 4) | hex(address.charCodeAt(at));
  key[group >> 1] |= (value & 0xffff) << (group % 2 === 0 ? 16 : 0);
  return at + 1;
}

function groupsFrom(address: string, from: number): number {
  if (from >= address.length) return 0;
  let groups = 1;
  for (let at = from; at < address.length; at++) {
    if (address.charCodeAt(at) === COLON) groups++;
    // The last two groups may be written as an IPv4 address.
    else if (address.charCodeAt(at) === DOT) return groups + 1;
  }
  return groups;
}

function hex(code: number): number {
  return code < COLON ? code - 0x30 : (code | 0x20) - 0x57;
}
