/**
 * The kinds of values that the configuration is made of. The message of each says what was
 * expected: `expected <message>, got <value>` is what the operator reads (see issues.ts).
 */
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { hostEnd } from '../http/host.ts';
import { parseAddress } from '../pool/address.ts';
import { formatDuration, parseDuration } from './duration.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);

function text(expected: string, valid: (text: string) => boolean) {
  return z.custom<string>((value) => typeof value === 'string' && valid(value), { error: expected });
}

function isHostName(host: string): boolean {
  return host.length <= 253 && HOST_NAME.test(host.toLowerCase());
}

/** Name of an upstream, id of a version. */
export const name = text("a name of letters, digits, '.', '_' and '-', at most 63, that begins with a letter or digit", (value) => NAME.test(value));

/** A duration of at least `least` milliseconds. */
export function duration(least: number) {
  const expected =
    least === 0 ? "a duration such as '500ms', '30s' or '5m'" : `a duration of at least ${formatDuration(least)}, such as '500ms', '30s' or '5m'`;
  const valid = (value: unknown): boolean => {
    if (typeof value !== 'string' && typeof value !== 'number') return false;
    const ms = parseDuration(value);
    return ms !== null && ms >= least;
  };
  return z.custom<string | number>(valid, { error: expected }).transform((value) => parseDuration(value) ?? 0);
}

/** A whole number within bounds, both included. */
export function whole(least: number, most: number, unit = '') {
  const valid = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
  return z.custom<number>(valid, { error: `a whole number from ${least} to ${most}${unit}` });
}

export const percent = z.custom<number>((value) => typeof value === 'number' && value >= 0 && value <= 100, { error: 'a percentage from 0 to 100' });

/** Host pattern of a route; lower case afterwards. */
export const hostPattern = text("a host name, '*.' and a host name, or '*' (no port, no scheme; international names in their xn-- form)", (value) => {
  if (value === '*') return true;
  if (value.startsWith('[') && value.endsWith(']')) return isIP(value.slice(1, -1)) === 6;
  return isHostName(value.startsWith('*.') ? value.slice(2) : value);
}).transform((value) => value.toLowerCase());

/** Host that a redirect leads to. */
export const redirectHost = text(
  "a host name or '[ipv6]' (no port, no scheme)",
  (value) => isHostName(value) || (value.startsWith('[') && value.endsWith(']') && isIP(value.slice(1, -1)) === 6),
).transform((value) => value.toLowerCase());

/** Path prefix of a route; a trailing `/` means nothing on segment boundaries and is dropped. */
export const pathPrefix = text("a path that begins with '/', without '//', '.' or '..' segments, '?', '#', '*' or spaces", (value) => {
  if (!/^\/[!-~]*$/.test(value) || value.length > 1024 || /[?#*\\]/.test(value)) return false;
  return !value
    .slice(1)
    .split('/')
    .some((segment, i, all) => segment === '.' || segment === '..' || (segment === '' && i < all.length - 1));
}).transform((value) => (value.length > 1 && value.endsWith('/') ? value.slice(0, -1) : value));

/** Path of a probe: an origin-form target. */
export const probePath = text(
  "a path that begins with '/', without spaces or '#'",
  (value) => /^\/[!-~]*$/.test(value) && !value.includes('#') && value.length <= 2048,
);

/** `host:port` or `[ipv6]:port`, as it is compared and shown. */
export const address = text("'host:port' or '[ipv6]:port' with a port from 1 to 65535", (value) => {
  const parsed = parseAddress(value);
  if (parsed === null) return false;
  return value.startsWith('[') ? isIP(parsed.host) === 6 : isHostName(parsed.host);
}).transform((value) => value.toLowerCase());

/** An address to bind or a name that leads to one. */
export const bindHost = text('an IP address or a host name', (value) => isIP(value) !== 0 || isHostName(value));

export const hostHeader = text(
  "a host name or address, with or without ':port'",
  (value) => /^[A-Za-z0-9._:[\]-]{1,255}$/.test(value) && hostEnd(Buffer.from(value, 'latin1'), 0, value.length) !== -1,
);

/** A host name that may be asked for in a TLS handshake (RFC 6066 §3: no address). */
export const serverName = text('a host name (no address, no port)', (value) => isHostName(value) && isIP(value) === 0).transform((value) =>
  value.toLowerCase(),
);

/** Full name of a gRPC service; '' = the server as a whole. */
export const grpcService = text("a service name such as 'pkg.Service', or '' for the server as a whole", (value) => /^[A-Za-z0-9_./-]{0,255}$/.test(value));

export const fieldName = text('a header or cookie name (letters, digits and - _ . among others)', (value) => TOKEN.test(value));

export const fieldValue = text('a header value without line breaks', (value) => value.length <= 1024 && /^[\t\x20-\x7e\x80-\xff]*$/.test(value));

export const secret = text('a token of 8 to 256 characters without spaces', (value) => /^[!-~]{8,256}$/.test(value));

/** What has to be said beside the version in a preview field; it may stand in a cookie. */
export const steeringSecret = text("a secret of 8 to 128 letters, digits, '.', '_', '~' and '-'", (value) => /^[A-Za-z0-9._~-]{8,128}$/.test(value));

/** Beginning of the paths of assets. */
export const assetPrefix = text(
  "the beginning of a path, with '/' at both ends, without '//', '.' or '..' segments, '?', '#', '%' or spaces",
  (value) => /^\/(?:[!-~]{1,1023}\/)?$/.test(value) && !/[?#%\\;]|\/\/|\/\.{1,2}\//.test(value),
);

/** An address or a network: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`. */
export const cidr = text("an IP address or network such as '10.0.0.0/8' or 'fd00::/8'", isCidr);

function isCidr(value: string): boolean {
  const match = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(value);
  const family = match === null ? 0 : isIP(match[1]);
  return match !== null && family !== 0 && (match[2] === undefined || Number(match[2]) <= (family === 4 ? 32 : 128));
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether what is bound to this host can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/** Where something outside is asked: http or https. */
export const httpUrl = text(
  "a URL such as 'https://checks.example/gate'",
  (value) => value.length <= 2_048 && /^https?:$/.test(URL.parse(value)?.protocol ?? ''),
);
