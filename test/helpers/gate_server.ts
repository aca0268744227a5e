import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { signatureOf } from '../../src/http/signature.ts';
import type { GateQuestion } from '../../src/swap/ports.ts';
import type { Teardown } from './temp.ts';

export const GATE_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/** A question as it came, and whether its signature is that of GATE_SECRET. */
export interface Asked {
  readonly question: GateQuestion;
  readonly id: string;
  readonly signed: boolean;
}

/** A gate (and a Prometheus server): answers what a test has set. */
export class GateServer {
  readonly url: string;
  readonly asked: Asked[] = [];
  /** When set, says by the question what is decided; `answer` is not looked at. */
  decide: ((question: GateQuestion) => 'pass' | 'wait' | 'stop') | null = null;
  /** Status and body of each answer; null = none is given. */
  answer: { status: number; body: string } | null = { status: 200, body: '{"decision":"wait","reason":"not yet"}' };
  /** What a query is answered with. */
  value = '0';
  readonly queries: string[] = [];

  private constructor(url: string) {
    this.url = url;
  }

  static async start(t: Teardown): Promise<GateServer> {
    const server = createServer((request, response) => void gate.#take(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const gate = new GateServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    t.teardown(() => {
      server.close();
      server.closeAllConnections();
    });
    return gate;
  }

  say(decision: string, reason = `because ${decision}`): void {
    this.answer = { status: 200, body: JSON.stringify({ decision, reason }) };
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request).catch(() => null);
    // Who asks may be killed in the middle of it.
    if (body === null) return;
    const url = new URL(request.url ?? '/', this.url);
    if (url.pathname === '/api/v1/query') {
      this.queries.push(url.searchParams.get('query') ?? '');
      response.end(JSON.stringify({ status: 'success', data: { resultType: 'vector', result: [{ metric: {}, value: [1, this.value] }] } }));
      return;
    }
    const id = String(request.headers['webhook-id']);
    const expected = signatureOf({ id, timestamp: Number(request.headers['webhook-timestamp']), body }, GATE_SECRET);
    const question = JSON.parse(body) as GateQuestion;
    this.asked.push({ question, id, signed: request.headers['webhook-signature'] === expected });
    if (this.decide !== null) {
      const decision = this.decide(question);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ decision, reason: `because ${decision}` }));
    } else if (this.answer !== null) response.writeHead(this.answer.status, { 'content-type': 'application/json' }).end(this.answer.body);
  }
}
