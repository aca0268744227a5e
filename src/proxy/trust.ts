import { BlockList, isIP } from 'node:net';
import { FIELD } from '../http/fields.ts';
import type { FieldBlock } from '../http/fields.ts';

/** Addresses and networks. */
export class AddressList {
  private readonly list: BlockList | null;

  /** @param cidrs addresses or `address/bits`, checked by config/. */
  constructor(cidrs: readonly string[]) {
    this.list = cidrs.length === 0 ? null : new BlockList();
    for (const cidr of cidrs) {
      const [address, bits] = cidr.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.list?.addAddress(address, family);
      else this.list?.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    if (this.list === null) return false;
    const family = isIP(address);
    return family !== 0 && this.list.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}

/** The peers whose forwarding fields are believed (`trustedProxies`). */
export class TrustedProxies extends AddressList {
  /** The client behind the chain of X-Forwarded-For: the last address that is not a trusted proxy's. */
  clientOf(peer: string, fields: FieldBlock, buf: Buffer): string {
    const chain: string[] = [];
    for (let i = 0; i < fields.count; i++) {
      if (fields.ids[i] !== FIELD.xForwardedFor) continue;
      for (const part of fields.value(buf, i).split(',')) chain.push(plainAddress(part.trim()));
    }
    let client = peer;
    while (this.has(client)) {
      const before = chain.pop() ?? '';
      if (isIP(before) === 0) break;
      client = before;
    }
    return client;
  }
}

/** An IPv4 client of a dual-stack socket shows as IPv6. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
