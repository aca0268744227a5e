import { bytes, isWord } from '../http/chars.ts';
import { FIELD } from '../http/fields.ts';
import type { ResponseHead } from '../http/response-head.ts';

/**
 * What a method allows (RFC 9110 §9.2), as bits; and what a request is beside it: an upgrade, an `asset` that may be asked for of
 * another version, one that was `rescued` so, one that names its version in a `preview` field,
 * one that goes `away` from its backend, which is full, this time.
 */
export const TRAIT = { head: 1, idempotent: 2, trace: 4, upgrade: 8, asset: 16, rescued: 32, preview: 64, away: 128 } as const;

const METHODS: readonly [Uint8Array, number][] = (
  [
    ['GET', 2],
    ['HEAD', 3],
    ['PUT', 2],
    ['DELETE', 2],
    ['OPTIONS', 2],
    ['TRACE', 6],
  ] as [string, number][]
).map(([name, traits]) => [bytes(name), traits]);

const TRACE_LETTERS = bytes('trace');

/** TRAIT bits of the method in bytes [from, to); methods are case-sensitive, but what some backend might take for TRACE is TRACE. */
export function methodTraits(buf: Buffer, from: number, to: number): number {
  next: for (let m = 0; m < METHODS.length; m++) {
    const [name, traits] = METHODS[m];
    if (name.length !== to - from) continue;
    for (let i = 0; i < name.length; i++) if (buf[from + i] !== name[i]) continue next;
    return traits;
  }
  return isWord(buf, from, to, TRACE_LETTERS) ? TRAIT.trace : 0;
}

const EVENT_STREAM = bytes('text/event-stream');
const GRPC = bytes('application/grpc');

/** Whether an answer is a stream, which may be silent for long: server-sent events or gRPC. */
export function isStream(head: ResponseHead, buf: Buffer): boolean {
  return head.contentType !== -1 && (hasType(head, buf, EVENT_STREAM) || hasType(head, buf, GRPC));
}

function hasType({ contentType, fields }: ResponseHead, buf: Buffer, type: Uint8Array): boolean {
  const from = fields.spans[contentType * 4 + 2];
  return fields.spans[contentType * 4 + 3] - from >= type.length && isWord(buf, from, from + type.length, type);
}

const LF = 0x0a;
const CR = 0x0d;

/** Follows a stream of server-sent events: it can be ended cleanly only after an empty line. */
export class EventBoundary {
  private last = 0;
  private emptyLine = true;
  private lineHasText = false;
  /** The stream is coded (compressed), or of no events: there is no place in it to end it at. */
  private coded = false;

  begin(head: ResponseHead, buf: Buffer): void {
    this.coded = head.fields.find(FIELD.contentEncoding) !== -1 || hasType(head, buf, GRPC);
    this.last = 0;
    this.emptyLine = true;
    this.lineHasText = false;
  }

  /** True when the bytes so far end with a whole event. */
  get reached(): boolean {
    return this.emptyLine && !this.coded;
  }

  /** @returns the offset after the last whole event in [from, to), or −1. */
  feed(buf: Buffer, from: number, to: number): number {
    let boundary = -1;
    if (this.coded) return boundary;
    for (let at = from; at < to; at++) {
      const code = buf[at];
      if (code === LF && this.last === CR) {
        // Second byte of a CRLF: the line has been counted.
        if (this.emptyLine) boundary = at + 1;
      } else if (code === LF || code === CR) {
        this.emptyLine = !this.lineHasText;
        this.lineHasText = false;
        if (this.emptyLine) boundary = at + 1;
      } else {
        this.lineHasText = true;
        this.emptyLine = false;
      }
      this.last = code;
    }
    return boundary;
  }
}
