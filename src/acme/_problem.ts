/** An ACME server did not do what it was asked. */
export class AcmeProblem extends Error {
  /** `urn:ietf:params:acme:error:…` without its beginning (RFC 8555 §6.7), `unreachable` or `unexpected`. */
  readonly kind: string;
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | null;

  constructor(kind: string, message: string, wait: number | null = null) {
    super(message);
    this.kind = kind;
    this.wait = wait;
  }
}

const PREFIX = 'urn:ietf:params:acme:error:';
const MOST_TEXT = 500;

interface ProblemDocument {
  readonly type?: unknown;
  readonly detail?: unknown;
  readonly subproblems?: unknown;
}

/** What a problem document (RFC 9457) says, in one bounded line that is safe to log. */
export function problemOf(document: unknown, about: string, wait: number | null = null): AcmeProblem {
  const { type, detail, subproblems } = (typeof document === 'object' && document !== null ? document : {}) as ProblemDocument;
  const kind = typeof type === 'string' ? type.replace(PREFIX, '').slice(0, 100) : 'unexpected';
  const texts = [detail, ...(Array.isArray(subproblems) ? (subproblems as ProblemDocument[]).map((one) => one.detail) : [])];
  const text = texts.filter((one) => typeof one === 'string').join('; ');
  return new AcmeProblem(kind, `${about}: ${printable(kind)}${text === '' ? '' : `: ${printable(text)}`}`, wait);
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, MOST_TEXT);
}
