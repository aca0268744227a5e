import { Codec, forwarder } from './codec.ts';
import type { Passage, Passed } from './codec.ts';
import { Failure, expect, shown } from './failure.ts';
import { forwardedTarget, judgeRequest, judgeResponse, valuesOf } from './judge.ts';
import type { Message } from './judge.ts';
import { mutate } from './mutate.ts';
import type { Prng } from './prng.ts';
import { seedOf } from './seeds.ts';
import type { Seeds } from './seeds.ts';

/** One input, whole: what a reproducer holds. */
export interface CodecInput {
  readonly kind: 'request' | 'response';
  readonly bytes: string;
  readonly cuts: readonly number[];
  /** Of a response: what was asked, and the client's HTTP/1.minor. */
  readonly method: string;
  readonly upgrade: boolean;
  readonly minor: 0 | 1;
  /** The peer is a trusted proxy. */
  readonly trusted: boolean;
}

/** Changes what was written: a planted bug, to see that it is found. */
export type Tamper = (written: string, source: string) => string;

export function codecInput(seeds: Seeds, rng: Prng): CodecInput {
  const kind = rng.chance(60) ? 'request' : 'response';
  const other = (): string => seedOf(seeds, kind, rng);
  const bytes = mutate(other(), rng, other);
  return {
    kind,
    bytes,
    cuts: rng.cuts(bytes.length),
    method: rng.chance(15) ? 'HEAD' : 'GET',
    upgrade: rng.chance(20),
    minor: rng.chance(15) ? 0 : 1,
    trusted: rng.chance(10),
  };
}

const codec = new Codec();
const PEERS = { plain: forwarder(false), trusted: forwarder(true) };

/**
 * Passes the bytes through the codec, whole and in pieces, and has the judge read what went in and what came out.
 * @returns how many messages went on. @throws Failure
 */
export function checkCodec(input: CodecInput, tamper: Tamper = (written) => written): number {
  const all = Buffer.from(input.bytes, 'latin1');
  const pass = (cuts: readonly number[]): Passage =>
    input.kind === 'request'
      ? codec.requests(all, cuts, input.trusted ? PEERS.trusted : PEERS.plain)
      : codec.response(all, cuts, { head: input.method === 'HEAD', upgrade: input.upgrade }, input.minor);
  const whole = pass([]);
  const cut = pass(input.cuts);
  sameReading(whole, cut);
  let from = 0;
  for (const [i, message] of whole.messages.entries()) {
    check(input, from, message, tamper);
    // How it was cut shows in the chunks that were written.
    if (input.cuts.length > 0) check(input, from, cut.messages[i], tamper);
    from = message.end;
  }
  return whole.messages.length;
}

/** How the bytes were cut makes no difference. @throws Failure */
export function sameReading(whole: Passage, cut: Passage): void {
  expect(whole.verdict === cut.verdict, () => `whole it is ${whole.verdict}, in pieces ${cut.verdict}`);
  expect(whole.messages.length === cut.messages.length, () => `whole there are ${whole.messages.length} messages, in pieces ${cut.messages.length}`);
  for (const [i, one] of whole.messages.entries()) {
    const two = cut.messages[i];
    const same = one.head === two.head && one.body === two.body && one.complete === two.complete && (!one.complete || one.end === two.end);
    expect(same, () => `message ${i} depends on the cuts:\n${shown(one.head + one.body)}\n${shown(two.head + two.body)}`);
  }
}

/** The judge reads the same message in the source and in what was written. */
function check(input: CodecInput, from: number, passed: Passed, tamper: Tamper): void {
  const { kind, bytes, method, upgrade, minor } = input;
  const written = tamper(passed.written, bytes.slice(from, passed.end));
  const asked = { method, upgrade };
  const source = kind === 'request' ? judgeRequest(bytes, from, false) : judgeResponse(bytes, from, asked, false);
  const result = kind === 'request' ? judgeRequest(written, 0, true) : judgeResponse(written, 0, asked, true);
  if (source === null || typeof source === 'string') throw new Failure(`it passed, and the judge says ${source ?? 'that bytes are missing'}`);
  if (result === null || typeof result === 'string') throw new Failure(`it was written as ${shown(written)}: ${result ?? 'bytes are missing'}`);
  expect(result.fault === null, () => `it was written as ${shown(written)}: ${result.fault}`);
  // A body that broke off: what went on of it must not look whole.
  if (!passed.complete) return expect(!result.complete || result.framing === 'close', () => `a cut body looks whole: ${shown(written)}`);
  expect(source.fault === null, () => `it passed, and the judge says ${source.fault}`);
  const [before, after] = [source, result];
  const ends = before.framing === 'close' || passed.end === before.end;
  expect(ends && after.end === written.length, () => `it ends at ${passed.end}, for the judge at ${before.end}; ${written.length - after.end} bytes are left`);
  expect(before.body === after.body && passed.body === before.body, () => `the body ${shown(before.body)} became ${shown(after.body)}`);
  if (kind === 'request') sameRequest(before, after, input.trusted);
  else {
    expect(before.start[0] === after.start[0] && before.start[1] === after.start[1], () => `status ${before.start.join()} became ${after.start.join()}`);
    if (minor === 0) expect(after.framing !== 'chunked', 'chunks for a client of HTTP/1.0');
    expect(after.complete || after.framing === 'close', 'a whole answer does not look whole');
  }
}

/** Method, target, authority and framing as the client has said them (RFC 9112 §3.2.2, RFC 9110 §7.6). */
export function sameRequest(before: Message, after: Message, trusted: boolean): void {
  const [method, target] = before.start;
  const absolute = /^https?:\/\/([^/?]*)/i.exec(target);
  const path = forwardedTarget(method, target);
  expect(after.start[0] === method && after.start[1] === path, () => `${method} ${target} became ${after.start.join(' ')}`);
  const [host] = valuesOf(after.fields, 'host');
  const wanted = absolute === null ? valuesOf(before.fields, 'host')[0] : absolute[1];
  expect(wanted === undefined || host === wanted, () => `Host ${wanted} became ${host}`);
  expect(after.complete === before.complete, 'one is complete and the other is not');
  const framed = after.framing === before.framing || (before.framing === 'none' && after.body === '');
  expect(framed, () => `framing ${before.framing} became ${after.framing}`);
  if (!trusted) for (const name of ['x-forwarded-for', 'forwarded', 'via']) expect(valuesOf(after.fields, name).length === 1, `${name} is not there once`);
}
