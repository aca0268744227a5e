import t from 'tap';
import { CLOSE_TO_BACKEND, CLOSE_TO_CLIENT, FrameTracker } from '../../src/http/websocket.ts';
import { frame } from './frames.ts';

/** Boundaries that the tracker reports when the bytes come one by one. */
function boundaries(bytes: Buffer): number[] {
  const tracker = new FrameTracker();
  return Array.from(bytes.keys())
    .filter((at) => {
      const found = tracker.feed(bytes, at, at + 1);
      if (found !== -1 && found !== at + 1) throw new Error(`a boundary at ${found} while reading byte ${at}`);
      if (tracker.atBoundary !== (found !== -1)) throw new Error(`atBoundary is ${tracker.atBoundary} after byte ${at}`);
      return found !== -1;
    })
    .map((at) => at + 1);
}

t.test('frames of every shape end where they say', async (t) => {
  for (const size of [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536]) {
    for (const masked of [false, true]) {
      const bytes = frame(2, size, masked);
      t.strictSame(boundaries(bytes), [bytes.length], `${size} bytes, ${masked ? 'masked' : 'plain'}`);
      t.equal(new FrameTracker().feed(bytes, 0, bytes.length), bytes.length, 'in one piece');
    }
  }
});

t.test('the last boundary in a piece', async (t) => {
  const [a, b, c] = [frame(1, 3, true), frame(9, 0, false), frame(2, 300, true)];
  const bytes = Buffer.concat([a, b, c]);
  t.strictSame(boundaries(bytes), [a.length, a.length + b.length, bytes.length]);
  const tracker = new FrameTracker();
  t.ok(tracker.atBoundary, 'before anything');
  t.equal(tracker.feed(bytes, 0, bytes.length - 1), a.length + b.length);
  t.notOk(tracker.atBoundary);
  t.equal(tracker.feed(bytes, bytes.length - 1, bytes.length), bytes.length);
  t.ok(tracker.atBoundary);
  t.equal(tracker.feed(bytes, 5, 5), -1, 'nothing');
  t.ok(tracker.atBoundary);
});

t.test('a frame of 4 GiB is followed', async (t) => {
  const tracker = new FrameTracker();
  const header = Buffer.from([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]);
  t.equal(tracker.feed(header, 0, header.length), -1);
  const piece = Buffer.alloc(2 ** 20);
  for (let i = 0; i < 4095; i++) tracker.feed(piece, 0, piece.length);
  t.equal(tracker.feed(piece, 0, piece.length - 1), -1, 'one byte short');
  t.equal(tracker.feed(piece, 0, 2), 1);
});

t.test('the frames that say goodbye are frames', async (t) => {
  t.strictSame([...CLOSE_TO_CLIENT], [0x88, 2, 0x03, 0xf4], 'close, 1012, not masked');
  t.strictSame([...CLOSE_TO_BACKEND], [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9], 'close, 1001, masked');
  for (const bytes of [CLOSE_TO_CLIENT, CLOSE_TO_BACKEND]) t.strictSame(boundaries(bytes), [bytes.length]);
});
