import type { Fault } from '../errors/catalogue.ts';
import type { AnswerTurn } from '../http/answer-rules.ts';
import type { FieldBlock } from '../http/fields.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { Prefaced } from './preface.ts';

/**
 * The client's side of an exchange. It knows how its protocol frames an answer; the life of a request
 * (request.ts) does not. All calls are made in one tick until `flush`, which sends what they have gathered.
 */
export interface Downstream extends Prefaced {
  /** Address of the client: the peer, or who a trusted proxy says it is. */
  readonly address: string;
  /** It has a connection of its own; else it is a stream of an HTTP/2 connection. */
  readonly alone: boolean;
  /** The client reads slower than the backend writes. */
  readonly congested: boolean;
  /** A 1xx answer; not for clients of HTTP/1.0. */
  informational(head: ResponseHead, src: Buffer): void;
  /** The head of the answer. `extra` = further field lines; `turn` = the rules of its route. */
  respond(head: ResponseHead, src: Buffer, extra: string, turn: AnswerTurn | null): void;
  body(chunk: Buffer, from: number, to: number): void;
  /** The answer is complete. */
  end(trailers: FieldBlock | null, src: Buffer | null, turn: AnswerTurn | null): void;
  /** 101: from now on bytes go both ways as they are. */
  switchProtocols(head: ResponseHead, src: Buffer): void;
  /** An answer of the proxy itself; nothing of another was sent. */
  refuse(fault: Fault): void;
  /** Takes back the answer under way. @returns false when some of it was sent, and nothing can be taken back. */
  retract(): boolean;
  /** The answer cannot be completed, and must not look as if it were. @returns whether the client is told why, as gRPC can: then what was sent arrives. */
  cut(fault: Fault): boolean;
  /** Bytes of a tunnel; the client's end of it was closed by `endTunnel`. */
  tunnel(chunk: Buffer, from: number, to: number): void;
  endTunnel(): void;
  flush(): void;
  /** Stop and go on reading the request body or the tunnel. */
  pause(): void;
  resume(): void;
  /** The exchange is over and its claim released; `completed` = the answer was sent whole. */
  finished(completed: boolean): void;
}
