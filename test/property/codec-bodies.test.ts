import * as fc from 'fast-check';
import t from 'tap';
import { FrameTracker } from '../../src/http/websocket.ts';
import { CHUNK_END, LAST_CHUNK, chunkSize } from '../../src/http/writer.ts';
import { readChunks } from '../http/chunks.ts';
import { frame } from '../http/frames.ts';
import { latin1 } from '../http/parsed.ts';
import { chunkedBody, cutsOf, cutting, mutated, mutations, SEED } from './codec_arbitraries.ts';

const OPTIONS = { seed: SEED, numRuns: 8000 };
const poison = fc.constantFrom('0\r\n\r\n', 'ffff', '\r\n\r\n', '\n\r\n', ';;;;');

t.test('a chunked body is read as it was written, however it arrives', async (t) => {
  fc.assert(
    fc.property(chunkedBody, cutting, poison, fc.string({ maxLength: 10 }), ({ bytes, body, trailers }, how, around, next) => {
      const all = latin1(bytes + next);
      const found = readChunks(all, cutsOf(how, all.length), undefined, around);
      const expected = { verdict: 'end', body, trailers, size: bytes.length };
      if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`expected ${JSON.stringify(expected)}\nfound ${JSON.stringify(found)}`);
    }),
    OPTIONS,
  );
  t.pass(`${OPTIONS.numRuns} bodies`);
});

t.test('what we frame ourselves is read too', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { maxLength: 5 }), cutting, (pieces, how) => {
      const all = Buffer.concat([...pieces.flatMap((piece) => [latin1(chunkSize(piece.length)), piece, CHUNK_END]), LAST_CHUNK]);
      const found = readChunks(all, how === 'each' && all.length > 2000 ? [] : cutsOf(how, all.length));
      return found.verdict === 'end' && found.size === all.length && found.body === Buffer.concat(pieces).toString('latin1');
    }),
    { ...OPTIONS, numRuns: 1000 },
  );
  t.pass('1000 bodies');
});

t.test('a mutated chunked body has one verdict, however it arrives', async (t) => {
  const verdicts = { end: 0, bad: 0, more: 0 };
  fc.assert(
    fc.property(chunkedBody, mutations, cutting, poison, ({ bytes }, changes, how, around) => {
      const all = latin1(mutated(bytes, changes));
      const whole = readChunks(all);
      verdicts[whole.verdict]++;
      const cut = readChunks(all, cutsOf(how, all.length), undefined, around);
      if (JSON.stringify(whole) !== JSON.stringify(cut)) throw new Error(`whole: ${JSON.stringify(whole)}\ncut: ${JSON.stringify(cut)}`);
    }),
    OPTIONS,
  );
  t.ok(verdicts.end > 50 && verdicts.bad > 50 && verdicts.more > 0, JSON.stringify(verdicts));
});

const SIZE = '[0-9A-Fa-f]{1,14}';
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = String.raw`"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"`;
const SIZE_LINE = new RegExp(`^${SIZE}(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*$`);

t.test('the line before a chunk is what the grammar says', async (t) => {
  const part = fc.constantFrom('0', 'a', 'F', 'g', ';', '=', '"', '\\', ' ', '\t', '\x01', '\x80', ',', 'name', ';a', ';a=b', '="', '\\"');
  const accepted = { yes: 0, no: 0 };
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const line = `0${parts.join('')}`;
      const allowed = SIZE_LINE.test(line) && Number.parseInt(line, 16) === 0;
      const found = readChunks(latin1(`${line}\r\n\r\n`)).verdict;
      accepted[allowed ? 'yes' : 'no']++;
      if (Number.parseInt(line, 16) === 0 && (found === 'end') !== allowed) throw new Error(`${JSON.stringify(line)}: ${found}, by the grammar ${allowed}`);
    }),
    { ...OPTIONS, numRuns: 20_000 },
  );
  t.ok(accepted.yes > 100 && accepted.no > 100, JSON.stringify(accepted));
});

t.test('frame boundaries are where a plain reading finds them', async (t) => {
  const frames = fc.array(fc.tuple(fc.nat(15), fc.oneof(fc.nat(130), fc.constantFrom(125, 126, 127, 65_535, 65_536)), fc.boolean(), fc.nat(255)), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(frames, fc.array(fc.nat(200_000), { maxLength: 10 }), (shapes, places) => {
      const all = shapes.map(([opcode, size, masked, fill]) => frame(opcode, size, masked, fill));
      const bytes = Buffer.concat(all);
      let end = 0;
      const ends = all.map(({ length }) => (end += length));
      const tracker = new FrameTracker();
      let from = 0;
      for (const to of [...cutsOf(places, bytes.length), bytes.length]) {
        const expected = ends.findLast((at) => at > from && at <= to) ?? -1;
        const found = tracker.feed(bytes, from, to);
        if (found !== expected) throw new Error(`[${from}, ${to}): ${found}, expected ${expected}`);
        if (tracker.atBoundary !== ends.includes(to)) throw new Error(`at ${to} it is ${tracker.atBoundary ? '' : 'not '}at a boundary`);
        from = to;
      }
    }),
    { ...OPTIONS, numRuns: 2000 },
  );
  t.pass('2000 streams');
});
