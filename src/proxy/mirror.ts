import { lossOf } from '../dial/loss.ts';
import { FAILURE, type Fault } from '../errors/catalogue.ts';
import { pick } from '../balance/pick.ts';
import { bytes } from '../http/chars.ts';
import { BODY } from '../http/request-head.ts';
import { NOT_MIRRORED } from '../ledger/layout.ts';
import { OUTCOME, type Outcome } from '../ledger/thread.ts';
import type { MirrorPolicy } from '../pool/policy.ts';
import { Answer, READ } from './_answer.ts';
import type { ExchangeRecord } from './_record.ts';
import { TRAIT } from './_traits.ts';
import type { Context } from './context.ts';
import { Deadline, type Expiring } from './deadline.ts';
import type { BackendTarget, UpstreamLoad, VersionTarget } from './targets.ts';
import { UpstreamConnection, type UpstreamUser } from './upstream.ts';

const MARK = Buffer.from('X-Switchyard-Mirror: 1\r\n', 'latin1');
const SP = 0x20;
/** Of an answer, with what goes before it; a longer one is not read to its end. */
const MOST_ANSWER = 1_048_576;

/** What is mirrored of an upstream, and where to. Compiled with the table: upstreams without it, or without a version on standby, have none. */
export class Mirror {
  readonly version: VersionTarget;
  readonly policy: MirrorPolicy;
  /** Copies under way on this thread. */
  readonly most: number;
  private readonly methods: readonly Uint8Array[];

  constructor(policy: MirrorPolicy, version: VersionTarget, threads: number) {
    this.policy = policy;
    this.version = version;
    this.most = Math.ceil(policy.concurrency / threads);
    this.methods = policy.methods.map(bytes);
  }

  /** Whether the method that a request begins with is one that is mirrored. */
  takes(request: Buffer): boolean {
    return this.methods.some((method) => request[method.length] === SP && method.every((code, i) => code === request[i]));
  }
}

/** The copies that a thread has under way. They are claimed as requests are, counted apart from them, and no client waits for one. */
export class Shadows {
  private readonly open = new Set<Shadow>();
  private readonly ctx: Context;

  constructor(ctx: Context) {
    this.ctx = ctx;
  }

  /** Called in the tick in which a request was claimed and sent: copies it, when it is to be copied and there is room. */
  copy({ upstream, upload, traits, version, isHead }: ExchangeRecord): void {
    const { mirror, load, slot } = upstream!;
    if (mirror === null || (traits & TRAIT.upgrade) !== 0 || version!.id === mirror.version.id) return;
    const { policy } = mirror;
    if (policy.percent < 100 && Math.random() * 100 >= policy.percent) return;
    const { ledger } = this.ctx;
    const request = upload.whole(policy.maxBody);
    if (request === null) return ledger.notMirrored(slot, NOT_MIRRORED.body);
    if (!mirror.takes(request)) return;
    if (load.mirrored >= mirror.most) return ledger.notMirrored(slot, NOT_MIRRORED.busy);
    const index = pick(mirror.version.rotation, ledger, NOBODY, (Math.random() * 2 ** 32) >>> 0, Math.random);
    if (index < 0) return ledger.notMirrored(slot, NOT_MIRRORED.unavailable);
    const backend = mirror.version.backends[index];
    ledger.claimCopy(backend.slot, mirror.version.slot);
    load.mirrored++;
    const failure = upstream!.policy.outlier.answers;
    this.open.add(new Shadow(this.ctx, { mirror, backend, load, isHead, failure, over: (shadow) => this.open.delete(shadow) }, marked(request)));
  }

  /** Ends what is under way on a version. */
  cut(versionSlot: number): void {
    for (const shadow of this.open) if (shadow.versionSlot === versionSlot) shadow.kill();
  }
}

const NOBODY: readonly number[] = [];

/** The request as a copy: a field behind its first line says so. */
function marked(request: Buffer): Buffer {
  const at = request.indexOf('\n') + 1;
  return Buffer.concat([request.subarray(0, at), MARK, request.subarray(at)]);
}

interface ShadowParts {
  readonly mirror: Mirror;
  readonly backend: BackendTarget;
  readonly load: UpstreamLoad;
  readonly isHead: boolean;
  /** Answers from this status on are failures of the backend. */
  readonly failure: number;
  readonly over: (shadow: Shadow) => void;
}

/** A copy of a request on its way. Its answer is read as any other, so that its connection is of further use, and thrown away. */
class Shadow implements UpstreamUser, Expiring {
  readonly versionSlot: number;
  private readonly ctx: Context;
  private readonly parts: ShadowParts;
  private readonly deadline: Deadline;
  private readonly answer: Answer;
  private readonly startedAt = performance.now();
  private readonly sent: number;
  private connection: UpstreamConnection | null;
  private status = 0;
  private taken = 0;
  private keepAlive = false;
  private keepAliveSeconds = -1;

  constructor(ctx: Context, parts: ShadowParts, request: Buffer) {
    this.ctx = ctx;
    this.parts = parts;
    this.versionSlot = parts.mirror.version.slot;
    this.deadline = new Deadline(this);
    this.answer = new Answer(ctx.responseHead);
    this.sent = request.length;
    this.connection = UpstreamConnection.take(ctx, parts.backend, this, false, null);
    this.connection.socket.write(request);
    ctx.timers.arm(this.deadline, parts.mirror.policy.timeout);
  }

  connected(): void {
    // All of it has been written.
  }

  upstreamDrained(): void {
    // Nothing more is written.
  }

  received(chunk: Buffer): void {
    this.taken += chunk.length;
    this.answer.offer(chunk);
    if (this.status === 0 && !this.readHead()) {
      // Whoever says without an end that an answer will come is no better than who gives none.
      if (this.connection !== null && this.taken > MOST_ANSWER) this.lose(FAILURE.badResponse);
      return;
    }
    let found = this.answer.nextBody();
    while (found === READ.data) found = this.answer.nextBody();
    if (found === READ.bad) this.lose(FAILURE.badResponse);
    else if (found === READ.end) this.complete(this.keepAlive && this.answer.at === this.answer.to);
    else if (this.taken > MOST_ANSWER) this.complete(false);
  }

  /** @returns whether the head of the final answer has been read. */
  private readHead(): boolean {
    for (;;) {
      const found = this.answer.nextHead(this.parts.isHead, false);
      if (found === READ.more) return false;
      const { status, keepAlive, keepAliveSeconds } = this.answer.head;
      if (found === READ.bad || status === 101) {
        this.lose(FAILURE.badResponse);
        return false;
      }
      if (status < 200) continue;
      const { slot } = this.parts.backend;
      if (status < this.parts.failure) this.ctx.ledger.succeeded(slot);
      else this.ctx.ledger.erred(slot);
      Object.assign(this, { status, keepAlive, keepAliveSeconds });
      return true;
    }
  }

  /** It has been answered; what is left of a long answer nobody waits for. */
  private complete(reusable: boolean): void {
    const connection = this.connection!;
    this.connection = null;
    this.answer.drop();
    if (reusable) connection.giveBack(this.keepAliveSeconds);
    else connection.destroy();
    this.ctx.ledger.answered(this.versionSlot, this.status, performance.now() - this.startedAt, this.sent, this.taken);
    this.end(OUTCOME.completed);
  }

  upstreamEnded(): void {
    if (this.status !== 0 && this.answer.framing === BODY.close) this.complete(false);
    else this.upstreamClosed(this.connection?.error ?? null);
  }

  upstreamClosed(error: Error | null): void {
    if (this.connection !== null) this.lose(this.status === 0 ? lossOf(error, this.connection.connected) : FAILURE.truncated);
  }

  expired(): void {
    if (this.status !== 0) this.complete(false);
    else this.lose(this.connection?.connected === true ? FAILURE.headTimeout : FAILURE.dialTimeout);
  }

  private lose(fault: Fault): void {
    this.ctx.countFailed(this.parts.backend.slot, fault, this.versionSlot);
    this.drop(OUTCOME.upstreamFailed);
  }

  kill(): void {
    this.drop(OUTCOME.killed);
  }

  private drop(outcome: Outcome): void {
    this.connection?.destroy();
    this.connection = null;
    this.end(outcome);
  }

  private end(outcome: Outcome): void {
    this.ctx.timers.drop(this.deadline);
    this.parts.load.mirrored--;
    this.ctx.ledger.settleCopy(this.parts.backend.slot, this.versionSlot, outcome);
    this.parts.over(this);
  }
}
