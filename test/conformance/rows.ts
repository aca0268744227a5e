/** A requirement on what a client sends: bytes in, bytes at the backend, answers. */
export interface RequestRow {
  /** Section of RFC 9112 (`9112 §6.1`), RFC 9110, or another source. */
  readonly section: string;
  readonly must: string;
  readonly send: string;
  /** Each message at the backend, byte for byte but for the forwarding fields of the proxy. */
  readonly forwards: readonly string[];
  /** Statuses of all answers, in order. */
  readonly answers: readonly number[];
  /** Reason of the last answer, when it is the proxy's own. */
  readonly reason?: string;
  /** The connection ends after the last answer. */
  readonly closes: boolean;
  /** It must not be sent byte by byte as well: it tests what comes in one piece. */
  readonly whole?: boolean;
}

/** A requirement on what a backend sends: bytes from it, bytes at the client, and what becomes of both connections. */
export interface ResponseRow {
  readonly section: string;
  readonly must: string;
  /** What the client sends; a plain GET unless told. */
  readonly request?: string;
  /** What the backend sends. */
  readonly sends: string;
  /** What it sends later, when its answer has reached the client. */
  readonly later?: string;
  /** It ends its connection behind it. */
  readonly ends?: boolean;
  /**
   * What the client gets: heads (interim ones first) and decoded body, byte for byte but for Date; or the reason of the
   * proxy's own answer; or `cut`: an answer that has begun and can be seen to be incomplete.
   */
  readonly client: { readonly bytes: string; readonly trailers?: readonly string[] } | { readonly status: number; readonly reason: string } | 'cut';
  /** The client's connection ends after it. */
  readonly closes?: boolean;
  /** The backend's connection is used again. */
  readonly reuses: boolean;
}

export const H = 'Host: a\r\n';
/** What a smuggler hides; it must never be a request of its own. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const REASONS: Readonly<Record<number, string>> = { 405: 'method-refused', 414: 'target-too-long', 417: 'expectation-failed', 505: 'version' };

/** Refused: nothing reaches the backend, and the connection ends. */
export function refuse(section: string, must: string, send: string, reason: string | number, status = typeof reason === 'number' ? reason : 400): RequestRow {
  return { section, must, send, forwards: [], answers: [status], reason: typeof reason === 'string' ? reason : REASONS[reason], closes: true };
}

/** Forwarded as these bytes, answered, and the connection stays. */
export function pass(section: string, must: string, send: string, forwards: string | readonly string[], more: Partial<RequestRow> = {}): RequestRow {
  const all = typeof forwards === 'string' ? [forwards] : forwards;
  return { section, must, send, forwards: all, answers: all.map(() => 200), closes: false, ...more };
}

/** Passed to the client as these bytes. */
export function relays(section: string, must: string, sends: string, bytes: string, more: Partial<ResponseRow> = {}): ResponseRow {
  return { section, must, sends, client: { bytes }, reuses: true, ...more };
}

/** A 502 for the client, and the backend's connection is not used again. */
export function bad(section: string, must: string, sends: string, more: Partial<ResponseRow> = {}): ResponseRow {
  return { section, must, sends, client: { status: 502, reason: 'bad-response' }, reuses: false, ...more };
}
