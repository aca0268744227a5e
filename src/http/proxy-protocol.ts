import type { ProxyProtocol } from '../pool/policy.ts';
import { CR, LF, bytes } from './chars.ts';
import { crc32c } from './crc32c.ts';
import { ipBytes, ipText, mapped } from './ip.ts';

/** The two ends of a client's connection: who it comes from, and where it was accepted. */
export interface Endpoints {
  /** Plain text of the client's address; '' = not known. */
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** The client speaks TLS to that end. */
  readonly secure: boolean;
  /** Field lines that tell whose certificate the client has shown; absent = none. */
  readonly identity?: string;
}

/** A PROXY protocol header, as it was read. */
export interface ProxyHeader {
  /** Offset behind it: what follows is the connection itself. */
  readonly end: number;
  /** `proxied`: for the client in `ends`; `own`: the proxy speaks for itself (LOCAL); `unknown`: for somebody it cannot name. */
  readonly kind: 'proxied' | 'own' | 'unknown';
  /** null unless `proxied`. */
  readonly ends: Endpoints | null;
}

/** Longest header of version 1, with its CRLF. */
const V1_MOST = 107;
const V1_START = bytes('PROXY ');
const V2_SIGNATURE = bytes('\r\n\r\n\0\r\nQUIT\n');
const V2_FIXED = 16;
/** Bytes behind the fixed part that are accepted: addresses and a reasonable number of TLVs. */
const V2_MOST = 4096;
const VERSION_LOCAL = 0x20;
const VERSION_PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;
/** Bytes of addresses for each valid pair of family and transport. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = { 0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216 };
const TLV = { crc32c: 0x03, ssl: 0x20 } as const;
const CLIENT_SSL = 0x01;
/** The client has shown no certificate that was verified. */
const NOT_VERIFIED = 1;

/** The most bytes a header can have; with so many at hand, `readProxyHeader` does not say `more`. */
export const PROXY_HEADER_MOST = V2_FIXED + V2_MOST;

/**
 * Reads the header that a proxy puts before a connection (HAProxy's PROXY protocol, versions 1 and 2) from bytes [0, to),
 * strictly: what the specification does not allow is `bad`. With `more`, it is to be called again with more bytes from the start;
 * how they are cut makes no difference.
 */
export function readProxyHeader(buf: Buffer, to: number): ProxyHeader | 'more' | 'bad' {
  if (to === 0) return 'more';
  return buf[0] === V2_SIGNATURE[0] ? readV2(buf, to) : readV1(buf, to);
}

function beginsWith(buf: Buffer, to: number, start: Uint8Array): boolean {
  for (let i = 0; i < start.length && i < to; i++) if (buf[i] !== start[i]) return false;
  return true;
}

// ── version 1: one line of text ───────────────────────────────────────────────────────────────────

function readV1(buf: Buffer, to: number): ProxyHeader | 'more' | 'bad' {
  if (!beginsWith(buf, to, V1_START)) return 'bad';
  let at = V1_START.length;
  while (at < to && at < V1_MOST && buf[at] !== CR && buf[at] !== LF) at++;
  if (at >= to) return to < V1_MOST ? 'more' : 'bad';
  if (buf[at] !== CR || at + 2 > V1_MOST) return 'bad';
  if (at + 1 === to) return 'more';
  if (buf[at + 1] !== LF) return 'bad';
  return lineV1(buf.toString('latin1', V1_START.length, at), at + 2);
}

function lineV1(line: string, end: number): ProxyHeader | 'bad' {
  const words = line.split(' ');
  if (words[0] === 'UNKNOWN') return { end, kind: 'unknown', ends: null };
  if ((words[0] !== 'TCP4' && words[0] !== 'TCP6') || words.length !== 5) return 'bad';
  const size = words[0] === 'TCP4' ? 4 : 16;
  const source = ipBytes(words[1]);
  const destination = ipBytes(words[2]);
  const port = portOf(words[3]);
  const localPort = portOf(words[4]);
  if (source?.length !== size || destination?.length !== size || port === -1 || localPort === -1) return 'bad';
  return { end, kind: 'proxied', ends: { address: ipText(source), port, localAddress: ipText(destination), localPort, secure: false } };
}

function portOf(word: string): number {
  return /^(?:0|[1-9]\d{0,4})$/.test(word) && Number(word) <= 65_535 ? Number(word) : -1;
}

// ── version 2: binary ─────────────────────────────────────────────────────────────────────────────

function readV2(buf: Buffer, to: number): ProxyHeader | 'more' | 'bad' {
  if (!beginsWith(buf, to, V2_SIGNATURE)) return 'bad';
  if (to < V2_FIXED) return 'more';
  const version = buf[12];
  const family = buf[13];
  const length = buf.readUInt16BE(14);
  if ((version !== VERSION_PROXY && version !== VERSION_LOCAL) || length > V2_MOST) return 'bad';
  const end = V2_FIXED + length;
  // Of LOCAL, family and block mean nothing.
  if (version === VERSION_PROXY && !(ADDRESS_BYTES[family] <= length)) return 'bad';
  if (to < end) return 'more';
  if (version === VERSION_LOCAL) return { end, kind: 'own', ends: null };
  const secure = readTlvs(buf, V2_FIXED + ADDRESS_BYTES[family], end);
  if (secure === null) return 'bad';
  if (family !== TCP4 && family !== TCP6) return { end, kind: 'unknown', ends: null };
  const size = family === TCP4 ? 4 : 16;
  const ports = V2_FIXED + 2 * size;
  const address = ipText(buf.subarray(V2_FIXED, V2_FIXED + size));
  const localAddress = ipText(buf.subarray(V2_FIXED + size, ports));
  return { end, kind: 'proxied', ends: { address, port: buf.readUInt16BE(ports), localAddress, localPort: buf.readUInt16BE(ports + 2), secure } };
}

/** @returns whether the client speaks TLS; null when the TLVs in bytes [from, end) are malformed or the checksum is wrong. */
function readTlvs(buf: Buffer, from: number, end: number): boolean | null {
  let secure = false;
  let checked = false;
  for (let at = from; at < end;) {
    if (at + 3 > end) return null;
    const value = at + 3;
    const length = buf.readUInt16BE(at + 1);
    if (value + length > end) return null;
    if (buf[at] === TLV.crc32c) {
      if (checked || length !== 4 || crc32c(buf, 0, end, value) !== buf.readUInt32BE(value)) return null;
      checked = true;
    } else if (buf[at] === TLV.ssl) {
      if (length < 5) return null;
      secure ||= (buf[value] & CLIENT_SSL) !== 0;
    }
    at = value + length;
  }
  return secure;
}

// ── writing ───────────────────────────────────────────────────────────────────────────────────────

/**
 * The header that names these ends; null, or ends that are not known, is a connection of the proxy's own (version 2: LOCAL,
 * version 1, which has no word for it: UNKNOWN). Version 1 cannot say that the client speaks TLS.
 */
export function proxyHeader(version: ProxyProtocol, ends: Endpoints | null): Buffer {
  const source = ends === null ? null : ipBytes(ends.address);
  const destination = ends === null ? null : ipBytes(ends.localAddress);
  if (ends === null || source === null || destination === null)
    return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : headV2(VERSION_LOCAL, 0, 0);
  const long = source.length === 16 || destination.length === 16;
  return version === 'v1' ? writeV1(ends, long) : writeV2(ends, long, [source, destination]);
}

function writeV1({ address, port, localAddress, localPort }: Endpoints, long: boolean): Buffer {
  const text = (ip: string): string => (long && !ip.includes(':') ? `::ffff:${ip}` : ip);
  return Buffer.from(`PROXY ${long ? 'TCP6' : 'TCP4'} ${text(address)} ${text(localAddress)} ${port} ${localPort}\r\n`, 'latin1');
}

function writeV2({ port, localPort, secure }: Endpoints, long: boolean, addresses: readonly Uint8Array[]): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(localPort, 2);
  const tlvs = secure ? Buffer.from([TLV.ssl, 0, 5, CLIENT_SSL, 0, 0, 0, NOT_VERIFIED]) : Buffer.alloc(0);
  const block = Buffer.concat([...(long ? addresses.map(mapped) : addresses), ports, tlvs]);
  return Buffer.concat([headV2(VERSION_PROXY, long ? TCP6 : TCP4, block.length), block]);
}

function headV2(version: number, family: number, length: number): Buffer {
  return Buffer.from([...V2_SIGNATURE, version, family, length >> 8, length & 0xff]);
}
