import { sameRequest } from './codec-target.ts';
import { Failure, expect, shown } from './failure.ts';
import { MIRRORED_BODY } from './world.ts';
import { judgeRequest, judgeResponse, valuesOf } from './judge.ts';
import type { Message, Question } from './judge.ts';
import type { MemorySocket } from './memory-socket.ts';

/** In everything that a client sends, and in everything that a backend answers to it. */
const TAG = /~[a-z]{10}~/g;

/** A client: what it has sent, as the judge reads it, and what it was given. */
export class Client {
  readonly tag: string;
  readonly address: string;
  /** It is a trusted proxy. */
  readonly trusted: boolean;
  readonly socket: MemorySocket;
  /** What is still to be sent, packet by packet. */
  readonly packets: string[];
  delivered = '';
  /** Its requests as far as they have come; the last may be incomplete. */
  readonly requests: { at: number; message: Message }[] = [];
  /** Something else than its peers has ended one of its requests. */
  disturbed = false;
  private at = 0;
  private stopped = false;

  constructor(tag: string, address: string, trusted: boolean, socket: MemorySocket, packets: string[]) {
    this.tag = tag;
    this.address = address;
    this.trusted = trusted;
    this.socket = socket;
    this.packets = packets;
  }

  send(text: string): void {
    this.delivered += text;
    this.socket.deliver(text);
  }

  /** Reads on in what was sent. */
  scan(): void {
    while (!this.stopped && this.at < this.delivered.length) {
      const found = judgeRequest(this.delivered, this.at, false);
      if (found === null) return;
      if (typeof found === 'string') return void (this.stopped = true);
      const last = this.requests.at(-1);
      if (last?.at === this.at) last.message = found;
      else this.requests.push({ at: this.at, message: found });
      if (found.fault !== null) this.stopped = true;
      if (!found.complete) return;
      this.at = found.end;
    }
  }

  question(index: number): Question {
    const message = this.requests.at(index)?.message;
    const upgrade = message !== undefined && valuesOf(message.fields, 'upgrade').length > 0;
    return { method: index < this.requests.length ? (message?.start[0] ?? 'GET') : 'GET', upgrade };
  }

  /** The answers it was given, 1xx apart. */
  answers(): Answer[] {
    const text = this.socket.written;
    const found: Answer[] = [];
    let at = 0;
    let from = 0;
    while (at < text.length) {
      const message = judgeResponse(text, at, this.question(found.length), true);
      if (message === null) break;
      if (typeof message === 'string' || message.fault !== null) {
        throw new Failure(`client ${this.tag} was answered ${shown(text.slice(at))}: ${typeof message === 'string' ? message : message.fault}`);
      }
      at = message.end;
      if (message.start[0].startsWith('1') && message.start[0] !== '101') continue;
      found.push({ message, text: text.slice(from, message.start[0] === '101' ? text.length : at) });
      from = at;
      if (message.start[0] === '101' || !message.complete) break;
    }
    return found;
  }
}

export interface Answer {
  readonly message: Message;
  /** With the 1xx before it. */
  readonly text: string;
}

/** A request as a backend got it, and what it answered. */
export interface Attempt {
  readonly client: Client;
  readonly index: number;
  readonly at: number;
  message: Message;
  answer: string;
  tunnel: boolean;
  /** It is a copy of the client's request: the client has nothing of its answer. */
  readonly copy: boolean;
}

/** In everything that a backend says to a copy: no client may see it. */
export const OF_A_COPY = 'said-to-a-copy';
const MARK = /^[^\r\n]* HTTP\/1\.1\r\nX-Switchyard-Mirror: 1\r\n/;
const MARK_FIELD = 'x-switchyard-mirror';

/** A backend's end of one connection. */
export class Backend {
  readonly socket: MemorySocket;
  readonly attempts: Attempt[] = [];
  /** Packets of the answer under way. */
  script: string[] = [];
  /** What comes after them. */
  after: 'keep' | 'end' | 'reset' = 'keep';
  /** It sent what nobody had asked for. */
  surprised = false;
  /** It has ended or reset the connection. */
  closed = false;
  /** It says nothing to a copy, ever. */
  mute = false;
  private at = 0;
  private seen = -1;

  constructor(socket: MemorySocket) {
    this.socket = socket;
  }

  get current(): Attempt | undefined {
    return this.attempts.at(-1);
  }

  /** What was written to it last, whether it has come or not, is a copy. */
  get hasCopy(): boolean {
    const { written } = this.socket;
    const { current } = this;
    if (current !== undefined && (!current.message.complete || written.length === current.message.end)) return current.copy;
    return MARK.test(written.slice(current?.message.end ?? 0));
  }

  /** It has been given a request, and the answer to it is not over. */
  get busy(): boolean {
    if (this.socket.destroyed) return false;
    const { current, socket } = this;
    if (current === undefined) return socket.connecting || socket.written !== '';
    const last = finalOf(current);
    const over = last !== null && last.message.complete && last.message.end === current.answer.length && last.message.start[0] !== '101';
    return !over || socket.written.length > current.message.end;
  }

  send(text: string): void {
    if (this.current === undefined) this.surprised = true;
    else this.current.answer += text;
    this.socket.deliver(text);
  }

  /** Reads on in what has come, and sees that nobody but a client of `clients` has sent it. */
  scan(clients: ReadonlyMap<string, Client>): void {
    const text = this.socket.sent;
    if (this.seen === text.length) return;
    this.seen = text.length;
    while (this.at < text.length && this.current?.tunnel !== true) {
      if (this.current !== undefined && this.current.message.complete && this.isTunnel(this.current)) return;
      const found = judgeRequest(text, this.at, true);
      if (found === null) return;
      if (typeof found === 'string' || found.fault !== null) {
        throw new Failure(`a backend got ${shown(text.slice(this.at))}: ${typeof found === 'string' ? found : found.fault}`);
      }
      if (this.current?.at === this.at) this.current.message = found;
      else this.enter(found, clients);
      this.belongs(this.current!, text.slice(this.at, found.end), clients);
      if (!found.complete) return;
      this.at = found.end;
    }
  }

  private isTunnel(attempt: Attempt): boolean {
    const last = finalOf(attempt);
    attempt.tunnel = last !== null && last.message.start[0] === '101';
    return attempt.tunnel;
  }

  /** A new request: the one before it on this connection was over, and nothing was left of its answer. */
  private enter(message: Message, clients: ReadonlyMap<string, Client>): void {
    const { current } = this;
    expect(!this.surprised, 'a connection that was surprised is used');
    if (current !== undefined) {
      const last = finalOf(current);
      expect(current.message.complete, 'a request follows one that is not complete');
      const whole = last !== null && last.message.complete && last.message.end === current.answer.length;
      expect(whole, () => `a request follows the answer ${shown(current.answer)}`);
    }
    const copy = valuesOf(message.fields, MARK_FIELD).length === 1;
    if (copy) expect(message.fields[0][0].toLowerCase() === MARK_FIELD, 'the mark of a copy is not in front');
    const chain = valuesOf(message.fields, 'x-forwarded-for').join();
    const client = clients.get(chain.slice(chain.lastIndexOf(' ') + 1));
    if (client === undefined) throw new Failure(`a request of ${chain}, who is nobody`);
    this.script = [];
    const index = copy ? copiedOf(client, message) : indexOf(client, message);
    this.attempts.push({ client, index, at: this.at, message, answer: '', tunnel: false, copy });
  }

  /** It is what the client has sent, as far as it goes, and nothing of another's. */
  private belongs({ client, index, message }: Attempt, text: string, clients: ReadonlyMap<string, Client>): void {
    const sent = client.requests[index].message;
    expect(sent.body.startsWith(message.body), () => `the body ${shown(sent.body)} went on as ${shown(message.body)}`);
    if (message.complete) sameRequest(sent, message, client.trusted);
    assertOnly(text, client, clients);
  }

  /** What went through a tunnel is what the client has sent behind its request, and nothing else. */
  checkTunnel(): void {
    const { current } = this;
    if (current?.tunnel !== true && !(current !== undefined && this.isTunnel(current))) return;
    const up = this.socket.sent.slice(current.message.end);
    const { message } = current.client.requests[current.index];
    const sent = current.client.delivered.slice(message.end);
    expect(sent.startsWith(up) || current.client.disturbed, () => `a tunnel carried ${shown(up)} instead of ${shown(sent)}`);
  }
}

/** Which of the client's requests this is a copy of. It was whole when it was copied, and it is one of those that may happen twice. */
function copiedOf(client: Client, message: Message): number {
  expect(valuesOf(message.fields, 'upgrade').length === 0, 'an upgrade was copied');
  const found = client.requests.findIndex(({ message: sent }) => {
    if (!sent.complete || sent.body.length > MIRRORED_BODY) return false;
    if (!['GET', 'HEAD', 'POST'].includes(sent.start[0])) return false;
    // Of a copy that has not come whole what there is of it is the same.
    return isSame({ ...sent, complete: message.complete }, message, client.trusted);
  });
  if (found === -1) throw new Failure(`client ${client.tag} has sent nothing that ${message.start.join(' ')} could be a copy of: ${shown(client.delivered)}`);
  return found;
}

function isSame(sent: Message, message: Message, trusted: boolean): boolean {
  try {
    sameRequest(sent, message, trusted);
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return false;
  }
}

/** Which of the client's requests this is: the one that is not answered yet. */
function indexOf(client: Client, message: Message): number {
  const answered = client.answers().filter((answer) => answer.message.complete).length;
  for (const index of [answered, answered - 1]) {
    const sent = client.requests[index]?.message;
    if (sent === undefined || (message.complete && !sent.complete)) continue;
    if (isSame({ ...sent, complete: message.complete }, message, client.trusted)) return index;
  }
  throw new Failure(`client ${client.tag} has sent nothing like ${message.start.join(' ')} as its request ${answered}: ${shown(client.delivered)}`);
}

/** The last answer in what the backend has sent, or null. */
export function finalOf({ client, index, answer }: Attempt): { message: Message; at: number } | null {
  const asked = client.question(index);
  for (let at = 0; at < answer.length;) {
    const message = judgeResponse(answer, at, asked, false);
    if (message === null || typeof message === 'string') return null;
    if (!message.start[0].startsWith('1') || message.start[0] === '101') return { message, at };
    at = message.end;
  }
  return null;
}

/** No tag of another client. */
export function assertOnly(text: string, client: Client, clients: ReadonlyMap<string, Client>): void {
  for (const [tag] of text.matchAll(TAG)) {
    if (tag === client.tag) continue;
    for (const other of clients.values()) expect(other.tag !== tag, () => `bytes of ${tag} among those of ${client.tag}: ${shown(text)}`);
  }
}

/** Each answer is the one that a backend gave to this request, or the proxy's own; and whole only if that was. */
export function checkAnswers(client: Client, attempts: readonly Attempt[], clients: ReadonlyMap<string, Client>): number {
  const answers = client.answers();
  expect(!client.socket.written.includes(OF_A_COPY), () => `client ${client.tag} got what was said to a copy: ${shown(client.socket.written)}`);
  expect(answers.length <= client.requests.length + 1, () => `client ${client.tag} got ${answers.length} answers to ${client.requests.length} requests`);
  for (const [i, { message, text }] of answers.entries()) {
    assertOnly(text, client, clients);
    if (valuesOf(message.fields, 'proxy-status').some((value) => value.startsWith('switchyard; '))) continue;
    const attempt = attempts.findLast((one) => one.client === client && one.index === i && !one.copy);
    if (attempt === undefined) throw new Failure(`client ${client.tag} got an answer to request ${i} that nobody gave: ${shown(text)}`);
    const given = finalOf(attempt);
    if (given === null) throw new Failure(`client ${client.tag} got ${shown(text)}, and the backend's answer was ${shown(attempt.answer)}`);
    compare(client, message, given.message, attempt);
  }
  return answers.length;
}

function compare(client: Client, got: Message, given: Message, { answer }: Attempt): void {
  expect(got.start[0] === given.start[0], () => `status ${given.start[0]} became ${got.start[0]}`);
  if (got.start[0] === '101') {
    const down = client.socket.written.slice(got.end);
    expect(answer.slice(given.end).startsWith(down) || client.disturbed, () => `a tunnel brought ${shown(down)} of ${shown(answer)}`);
    return;
  }
  expect(given.body.startsWith(got.body), () => `the body ${shown(given.body)} came as ${shown(got.body)}`);
  if (client.disturbed) return;
  const looksWhole = got.complete || (got.framing === 'close' && client.socket.ending === 'finished');
  const isWhole = given.complete || given.framing === 'close';
  if (looksWhole) expect(isWhole && got.body === given.body, () => `${shown(given.body)}, ${isWhole ? 'whole' : 'cut'}, looks whole as ${shown(got.body)}`);
  else expect(client.socket.destroyed, 'an answer is not complete and the connection goes on');
}
