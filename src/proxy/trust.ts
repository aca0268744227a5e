import { BlockList, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { chainOf } from '../http/claims.ts';
import type { FieldBlock } from '../http/fields.ts';
import { nodeAddress } from '../http/forwarded.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';

const MAPPED = '::ffff:';

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
  /** The client behind the chain that a trusted peer tells of: the last address in it that is not a trusted proxy's. */
  clientOf(peer: string, fields: FieldBlock, buf: Buffer): string {
    const chain = chainOf(fields, buf);
    let client = peer;
    for (let i = chain.length - 1; i >= 0 && this.has(client); i--) {
      const before = nodeAddress(chain[i], false);
      if (before === null) break;
      client = before;
    }
    return client;
  }
}

/** The ends of an accepted connection, as its socket knows them. */
export function endpointsOf(socket: Socket, secure: boolean): Endpoints {
  return {
    address: socketAddress(socket.remoteAddress),
    port: socket.remotePort ?? 0,
    localAddress: socketAddress(socket.localAddress),
    localPort: socket.localPort ?? 0,
    secure,
  };
}

/** The text of `plainIp` of an address that the system has written: IPv4 over a dual-stack socket comes as IPv6, link-local IPv6 with a zone. */
function socketAddress(address = ''): string {
  if (!address.includes(':')) return address;
  if (address.startsWith(MAPPED) && address.includes('.')) return address.slice(MAPPED.length);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}
