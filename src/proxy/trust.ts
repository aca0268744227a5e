import { BlockList, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { FIELD } from '../http/fields.ts';
import type { FieldBlock } from '../http/fields.ts';
import { plainIp } from '../http/ip.ts';
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
  /** The client behind the chain of X-Forwarded-For: the last address that is not a trusted proxy's. */
  clientOf(peer: string, fields: FieldBlock, buf: Buffer): string {
    const chain: string[] = [];
    for (let i = 0; i < fields.count; i++) {
      if (fields.ids[i] !== FIELD.xForwardedFor) continue;
      for (const part of fields.value(buf, i).split(',')) chain.push(part.trim());
    }
    let client = peer;
    while (this.has(client)) {
      const before = plainIp(chain.pop() ?? '');
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
