/** What a client asks for at the beginning of a TLS handshake. */
export interface ClientHello {
  /** Server name (SNI, RFC 6066 §3), lower case; null = none. */
  readonly serverName: string | null;
  /** Protocols it would speak (ALPN, RFC 7301), as it prefers them. */
  readonly protocols: readonly string[];
}

const RECORD_HEAD = 5;
const HANDSHAKE_HEAD = 4;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MOST_RECORD = 16_384;
const VERSION_AND_RANDOM = 34;
const EXTENSION = { serverName: 0, alpn: 16 } as const;
const HOST_NAME = 0;

/** Past the end of what there should be. */
class Short extends Error {}

/** Reads numbers and vectors (RFC 8446 §3.4) and never past its end. */
class Reader {
  private readonly buf: Buffer;
  private at: number;
  private readonly end: number;

  constructor(buf: Buffer, at: number, end: number) {
    this.buf = buf;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  get done(): boolean {
    return this.at === this.end;
  }

  skip(bytes: number): number {
    const from = this.at;
    if (this.left < bytes) throw new Short();
    this.at = from + bytes;
    return from;
  }

  number(bytes: 1 | 2 | 3): number {
    return this.buf.readUIntBE(this.skip(bytes), bytes);
  }

  /** @param bytes of its length. */
  vector(bytes: 1 | 2): Reader {
    const length = this.number(bytes);
    const from = this.skip(length);
    return new Reader(this.buf, from, from + length);
  }

  text(): string {
    return this.buf.toString('latin1', this.at, this.end);
  }
}

/**
 * Reads a ClientHello (RFC 8446 §4.1.2; that of TLS 1.2 has the same shape) from the first bytes of a connection. `more`: to be called
 * again with more bytes from the start, never past the first record. `other`: it is no whole ClientHello in one record; what is wrong
 * with it, if anything, is for TLS to say.
 */
export function readClientHello(buf: Buffer): ClientHello | 'more' | 'other' {
  if (buf.length > 0 && buf[0] !== HANDSHAKE_RECORD) return 'other';
  if (buf.length < RECORD_HEAD) return 'more';
  const length = buf.readUInt16BE(3);
  if (length < HANDSHAKE_HEAD || length > MOST_RECORD) return 'other';
  if (buf.length > RECORD_HEAD && buf[RECORD_HEAD] !== CLIENT_HELLO) return 'other';
  if (buf.length < RECORD_HEAD + length) return 'more';
  try {
    return helloOf(new Reader(buf, RECORD_HEAD + 1, RECORD_HEAD + length));
  } catch (error) {
    if (error instanceof Short) return 'other';
    throw error;
  }
}

function helloOf(record: Reader): ClientHello | 'other' {
  // It goes on in another record, or another message follows in this one.
  if (record.number(3) !== record.left) return 'other';
  record.skip(VERSION_AND_RANDOM);
  // Session, suites, compression.
  for (const bytes of [1, 2, 1] as const) record.vector(bytes);
  let serverName: string | null = null;
  const protocols: string[] = [];
  const extensions = record.done ? null : record.vector(2);
  if (!record.done) return 'other';
  while (extensions !== null && !extensions.done) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type === EXTENSION.serverName) serverName = nameIn(content.vector(2));
    else if (type === EXTENSION.alpn) for (const list = content.vector(2); !list.done;) protocols.push(list.vector(1).text());
  }
  return { serverName, protocols };
}

function nameIn(list: Reader): string | null {
  while (!list.done) {
    const type = list.number(1);
    const name = list.vector(2);
    if (type === HOST_NAME) return name.text().toLowerCase();
  }
  return null;
}
