import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import type { Caller, Operations } from '../control/operations.ts';

/** Who may call: anybody, a token of scope `read` or `operate`, only one of scope `operate`, or one of scope `report` or `operate`. */
export type Scope = 'open' | 'read' | 'operate' | 'report';

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. Absent with `text` and with statuses that have no body. */
  readonly json?: unknown;
  readonly text?: { readonly type: string; readonly body: string };
}

/** What an endpoint's handler is given, already checked. */
export interface Call<P = Record<string, string>, Q = unknown, B = unknown> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
  readonly operations: Operations;
  readonly metrics: () => Promise<{ contentType: string; text: string }>;
  /** Aborts when the client goes or the admin server closes. */
  readonly signal: AbortSignal;
}

/** An answer that goes on until one side ends it. */
export interface Stream {
  readonly stream: (request: IncomingMessage, response: ServerResponse) => void;
}

/** How one status of an endpoint looks; `schema` null = no body. `type` defaults to JSON. */
export interface AnswerShape {
  readonly text: string;
  readonly schema: z.ZodType | null;
  readonly type?: string;
}

export interface EndpointSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Template: `/v1/upstreams/{upstream}`. */
  readonly path: string;
  /** Unique; the operationId of the OpenAPI document. */
  readonly id: string;
  readonly summary: string;
  readonly scope: Scope;
  readonly params: P;
  readonly query: Q;
  /** null = the method has no body. */
  readonly body: B | null;
  /** Whether a call without a body means `{}`. */
  readonly bodyOptional?: boolean;
  readonly answers: Readonly<Record<number, AnswerShape>>;
  /** Problem codes that are particular to this endpoint, by status. */
  readonly problems: Readonly<Record<number, readonly string[]>>;
  /** Whether `If-Match` is honoured. */
  readonly conditional?: boolean;
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Answer | Stream | Promise<Answer | Stream>;
}

/** A row of the table of endpoints, with the types of its handler hidden behind its schemas. */
export interface Endpoint extends Omit<EndpointSpec<z.ZodType, z.ZodType, z.ZodType>, 'handle'> {
  readonly handle: (call: Call) => Answer | Stream | Promise<Answer | Stream>;
}

/** Ties the types of a handler to the schemas of its endpoint. */
export function endpoint<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(spec: EndpointSpec<P, Q, B>): Endpoint {
  // Sound because the server only ever calls `handle` with what these very schemas put out.
  return spec as unknown as Endpoint;
}
