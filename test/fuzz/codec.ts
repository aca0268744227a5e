import { CHUNK, ChunkedReader } from '../../src/http/chunked.ts';
import { forwarderOf, writeRequest } from '../../src/http/forward-request.ts';
import type { Forwarder } from '../../src/http/forward-request.ts';
import { writeResponse } from '../../src/http/forward-response.ts';
import { BODY, RequestHead } from '../../src/http/request-head.ts';
import type { Body } from '../../src/http/request-head.ts';
import { ResponseHead } from '../../src/http/response-head.ts';
import type { Asked } from '../../src/http/response-head.ts';
import { writeTrailers } from '../../src/http/trailers.ts';
import { CHUNK_END, HeadWriter, chunkSize } from '../../src/http/writer.ts';
import { LIMITS } from '../http/parsed.ts';

/** A message as it went on. */
export interface Passed {
  readonly head: string;
  readonly body: string;
  /** All that was written: head, body in our framing, trailers. */
  readonly written: string;
  /** Offset behind it in the input. */
  readonly end: number;
  readonly complete: boolean;
}

export interface Passage {
  readonly messages: readonly Passed[];
  /** What stopped it: `more`, `end`, or why the rest was refused. */
  readonly verdict: string;
}

const BEFORE = 9;
/** Lies behind what has arrived: who reads on reads a message that nobody sent. */
const POISON = Buffer.from('\r\n\r\n0\r\n\r\nX: y\r\n\r\n', 'latin1');
const DATE = Buffer.from('Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n', 'latin1');
const RANDOM = Buffer.alloc(40, 0xf1);
/** Stands where bytes were read already: who reads them again gets these. */
const USED = 0x51;

export function forwarder(trusted: boolean): Forwarder {
  return forwarderOf({ address: '192.0.2.1', port: 40_000, localAddress: '10.0.0.1', localPort: 80, secure: false }, trusted);
}

/** Bytes that arrive in pieces in the middle of a buffer, misleading bytes around what is there. */
class Arrival {
  readonly buf = Buffer.alloc(65_536, USED);
  to = BEFORE;
  private done = 0;

  begin(): void {
    this.to = BEFORE;
    this.done = 0;
    POISON.copy(this.buf, 0, 0, BEFORE);
  }

  more(all: Buffer, until: number): void {
    all.copy(this.buf, BEFORE + this.done, this.done, until);
    POISON.copy(this.buf, BEFORE + until);
    this.done = until;
    this.to = BEFORE + until;
  }
}

/** What reads heads, and writes them on. */
interface Reader {
  begin(at: number): void;
  /** @returns null when bytes are missing, the role of a head that was read and written on, or why it is refused. */
  parse(to: number): string | null;
}

const ROLE = { request: 'request', interim: 'interim', answer: 'answer' } as const;

/** Drives the codec the way a connection does, and gathers what it writes. */
export class Codec {
  private readonly arrival = new Arrival();
  private readonly head = new RequestHead(LIMITS);
  private readonly answer = new ResponseHead();
  private readonly chunks = new ChunkedReader();
  private readonly writer = new HeadWriter(8);
  /** Offset in the buffer of what is not read yet. */
  private at = BEFORE;
  private headText = '';
  private body = '';
  private framing: Body = BODY.none;
  private outgoing: Body = BODY.none;
  private remaining = 0;
  private passed: Passed[] = [];

  /** Requests, one after another, until bytes are missing or something is refused. */
  requests(all: Buffer, cuts: readonly number[], by: Forwarder): Passage {
    const { head, arrival } = this;
    return this.pass(all, cuts, {
      begin: (at) => head.begin(at),
      parse: (to) => {
        if (!head.parse(arrival.buf, to)) return head.fault?.code ?? null;
        this.writer.begin();
        writeRequest(this.writer, head, arrival.buf, by, RANDOM, 0);
        this.start(head.body, head.body, head.length, head.end);
        return ROLE.request;
      },
    });
  }

  /** One answer, with the 1xx before it, to a client of HTTP/1.`minor`. The bytes end with the connection. */
  response(all: Buffer, cuts: readonly number[], asked: Asked, minor: 0 | 1): Passage {
    const { answer, arrival } = this;
    return this.pass(all, cuts, {
      begin: (at) => answer.begin(at),
      parse: (to) => {
        if (!answer.parse(arrival.buf, to, asked)) return answer.problem;
        this.writer.begin();
        const framed = answer.body === BODY.none || answer.body === BODY.length;
        const outgoing = framed ? answer.body : minor === 1 ? BODY.chunked : BODY.close;
        writeResponse(this.writer, answer, arrival.buf, { minor, body: outgoing, close: outgoing === BODY.close, date: DATE, extra: '', turn: null });
        this.start(answer.body, outgoing, answer.length, answer.end);
        return answer.status < 200 && answer.status !== 101 ? ROLE.interim : ROLE.answer;
      },
    });
  }

  private start(framing: Body, outgoing: Body, length: number, at: number): void {
    this.framing = framing;
    this.outgoing = outgoing;
    this.remaining = length;
    this.headText = this.writer.view().toString('latin1');
    this.body = '';
    this.chunks.reset();
    this.at = at;
  }

  private pass(all: Buffer, cuts: readonly number[], reader: Reader): Passage {
    this.passed = [];
    this.at = BEFORE;
    this.arrival.begin();
    reader.begin(BEFORE);
    let role: string | null = null;
    for (let i = 0; i <= cuts.length; i++) {
      this.arrival.more(all, i < cuts.length ? cuts[i] : all.length);
      for (;;) {
        if (role === null) {
          if (this.at === this.arrival.to) break;
          const found = reader.parse(this.arrival.to);
          if (found === null) break;
          if (!(found in ROLE)) return { messages: this.passed, verdict: found };
          role = found;
        }
        const found = this.readBody();
        if (found === CHUNK.more) break;
        this.push(found === CHUNK.end);
        if (found === CHUNK.bad) return { messages: this.passed, verdict: 'bad-chunk' };
        if (role === ROLE.answer) return { messages: this.passed, verdict: 'end' };
        role = null;
        reader.begin(this.at);
      }
    }
    return this.ended(role !== null);
  }

  private ended(inBody: boolean): Passage {
    if (!inBody) return { messages: this.passed, verdict: 'more' };
    const close = this.framing === BODY.close;
    if (close && this.outgoing === BODY.chunked) this.writer.text('0\r\n\r\n');
    this.push(close);
    return { messages: this.passed, verdict: close ? 'end' : 'more' };
  }

  private push(complete: boolean): void {
    this.passed.push({ head: this.headText, body: this.body, written: this.writer.view().toString('latin1'), end: this.at - BEFORE, complete });
  }

  private readBody(): number {
    const { buf, to } = this.arrival;
    if (this.framing === BODY.none) return CHUNK.end;
    if (this.framing !== BODY.chunked) {
      const end = this.framing === BODY.close ? to : Math.min(to, this.at + this.remaining);
      this.remaining -= end - this.at;
      this.data(this.at, end);
      this.at = end;
      return this.framing === BODY.length && this.remaining === 0 ? CHUNK.end : CHUNK.more;
    }
    for (;;) {
      const found = this.chunks.next(buf, this.at, to);
      if (found === CHUNK.bad) return found;
      this.at = this.chunks.at;
      if (found === CHUNK.data) this.data(this.chunks.dataStart, this.chunks.dataEnd);
      else {
        if (found === CHUNK.end) this.last();
        return found;
      }
    }
  }

  private data(from: number, to: number): void {
    if (from === to) return;
    const { buf } = this.arrival;
    this.body += buf.toString('latin1', from, to);
    if (this.outgoing === BODY.chunked) this.writer.text(chunkSize(to - from));
    this.writer.copy(buf, from, to);
    if (this.outgoing === BODY.chunked) this.writer.bytes(CHUNK_END);
  }

  private last(): void {
    const { trailers, trailerBytes } = this.chunks;
    if (this.outgoing !== BODY.chunked) return;
    if (trailers === null || trailerBytes === null) this.writer.text('0\r\n\r\n');
    else writeTrailers(this.writer, trailers, trailerBytes);
  }
}
