/** Where a backend listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const SHAPE = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

/**
 * Reads `host:port` or `[ipv6]:port`.
 * @returns null when the text is not of that shape or the port is not 1–65535.
 */
export function parseAddress(text: string): Address | null {
  const match = SHAPE.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return null;
  return { host: match[1] ?? match[2], port };
}

/** The text that `parseAddress` reads. */
export function addressText({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
