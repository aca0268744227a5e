import { execFileSync } from 'node:child_process';
import t from 'tap';
import { installed } from '../../bench/subjects/subject.ts';
import { Codec, forwarder } from '../fuzz/codec.ts';
import { forwardedTarget, judgeRequest, valuesOf } from '../fuzz/judge.ts';
import { allCases } from './cases.ts';
import type { Case } from './cases.ts';
import { DIFFERENCES, MEASURED } from './differences.ts';
import type { Difference } from './differences.ts';
import { haproxyPeer, nginxPeer, nodePeer } from './peers.ts';
import type { Peer, Read, Reading } from './peers.ts';

/** A case is over when nothing has happened for so long; one that shows something new is tried again with more patience. */
const QUIET_MS = 120;
const PATIENT_MS = 1_500;
const MOST_PATIENT_MS = 6_000;
const AT_A_TIME = 48;

interface Ours {
  readonly messages: readonly (Read & { readonly at: number })[];
  readonly verdict: string;
}

const codec = new Codec();

/** What our codec makes of the bytes of a connection: up to a request that may end it. */
function read(text: string): Ours {
  const { messages, verdict } = codec.requests(Buffer.from(text, 'latin1'), [], forwarder(false));
  const found: (Read & { at: number })[] = [];
  let at = 0;
  for (const { head, body, end, complete } of messages) {
    if (!complete) break;
    const [method, target] = head.split(' ');
    found.push({ method, target, body, at });
    const source = judgeRequest(text, at, false);
    if (source === null || typeof source === 'string') throw new Error(`the judge does not read ${JSON.stringify(text.slice(at))}`);
    const options = valuesOf(source.fields, 'connection').join().toLowerCase();
    // Behind an upgrade others wait for the answer to it, too.
    if (/\b(?:close|upgrade)\b/.test(options) || (source.start[2] === '0' && !/\bkeep-alive\b/.test(options))) return { messages: found, verdict: 'closed' };
    at = end;
  }
  return { messages: found, verdict };
}

/** Where the two part: on our side, on theirs (with our reason), in what they read; or nowhere. */
function compare(text: string, ours: Ours, theirs: Reading): { side: string; rest: string } | null {
  for (const [i, { method, target, body, at }] of ours.messages.entries()) {
    const their = theirs.messages[i];
    if (their === undefined) return { side: 'ours', rest: text.slice(at) };
    if (their.method !== method || forwardedTarget(method, their.target) !== target || their.body !== body) return { side: 'other', rest: text.slice(at) };
  }
  if (theirs.messages.length <= ours.messages.length || ours.verdict === 'closed') return null;
  return { side: ours.verdict, rest: '' };
}

function listed(peer: Peer, found: { side: string; rest: string }): Difference | undefined {
  return DIFFERENCES.find(({ peer: name, side, when }) => name === peer.name && side === found.side && (when === undefined || when(found.rest)));
}

interface Outcome {
  readonly unlisted: string[];
  readonly seen: Set<Difference>;
  /** Messages that both have read. */
  agreed: number;
}

async function comparison(peer: Peer, { id, text }: Case, first: number, outcome: Outcome): Promise<void> {
  const ours = read(text);
  for (const quiet of [first, PATIENT_MS, MOST_PATIENT_MS]) {
    const theirs = await peer.read(text, (soFar) => {
      const found = compare(text, ours, soFar);
      return found === null || listed(peer, found) !== undefined ? first : quiet;
    });
    const found = compare(text, ours, theirs);
    if (found === null) {
      outcome.agreed += ours.messages.length;
      return;
    }
    const known = listed(peer, found);
    if (known !== undefined) {
      outcome.seen.add(known);
      return;
    }
    if (quiet === MOST_PATIENT_MS) outcome.unlisted.push(`${id} (${found.side}): ${JSON.stringify(text.slice(0, 400))} ${found.rest.slice(0, 200)}`);
  }
}

async function compareAll(peer: Peer, cases: readonly Case[], quiet: number): Promise<Outcome> {
  const outcome: Outcome = { unlisted: [], seen: new Set(), agreed: 0 };
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < cases.length) await comparison(peer, cases[next++], quiet, outcome);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return outcome;
}

/** What is listed of this peer and did not occur. A peer that was slow has said less than it would have: it gets more time. */
async function staleOf(peer: Peer, cases: readonly Case[], seen: Set<Difference>): Promise<string[]> {
  const missing = (): Difference[] => DIFFERENCES.filter((one) => one.peer === peer.name && !seen.has(one));
  if (missing().length > 0) for (const one of (await compareAll(peer, cases, PATIENT_MS)).seen) seen.add(one);
  return missing().map(({ side, reason }) => `${side}: ${reason}`);
}

/** Whether the list was made with this version. */
function measured(peer: Peer): boolean {
  if (peer.name !== 'nginx' && peer.name !== 'haproxy') return true;
  const said = execFileSync('sh', ['-c', `${installed(peer.name)!} -v 2>&1`], { encoding: 'utf8' });
  return said.includes(MEASURED[peer.name]);
}

t.test('what we accept, strict peers accept too, and read the same', async (t) => {
  const cases = allCases();
  t.ok(cases.length > 300, `${cases.length} cases`);
  for (const [name, start] of [
    ['node:http', nodePeer],
    ['nginx', nginxPeer],
    ['haproxy', haproxyPeer],
  ] as const) {
    const peer = await start(t);
    if (peer === null) {
      t.comment(`${name} is not installed here: nothing is compared with it`);
      continue;
    }
    const { unlisted, seen, agreed } = await compareAll(peer, cases, QUIET_MS);
    t.strictSame(unlisted, [], `${name}: every difference is listed with its reason`);
    t.ok(agreed > cases.length / 4, `${name}: ${agreed} messages are read the same`);
    if (measured(peer)) t.strictSame(await staleOf(peer, cases, seen), [], `${name}: what is listed occurs`);
    else t.comment(`the list was made with another version of ${name}`);
  }
});

t.test('a difference can be seen', async (t) => {
  const theirs = (messages: Read[]): Reading => ({ messages, refused: false });
  const text = 'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab';
  const same = { method: 'POST', target: '/p', body: 'ab' };
  t.equal(compare(text, read(text), theirs([same])), null);
  t.equal(compare(text, read(text), theirs([]))?.side, 'ours');
  t.equal(compare(text, read(text), theirs([{ ...same, body: 'a' }]))?.side, 'other');
  t.equal(compare(`${text}X`, read(`${text}X Y`), theirs([same, same]))?.side, 'more');
  const bad = text.replace('2', '+2');
  t.equal(compare(bad, read(bad), theirs([same]))?.side, 'bad-framing');
});
