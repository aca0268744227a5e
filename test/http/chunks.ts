import { CHUNK, ChunkedReader } from '../../src/http/chunked.ts';

export interface ChunkedResult {
  readonly verdict: 'end' | 'bad' | 'more';
  readonly body: string;
  /** Raw trailer lines; null = there were none. */
  readonly trailers: string | null;
  /** Bytes used; only when it has ended. */
  readonly size: number;
}

const BEFORE = 5;

/** Reads a chunked body that arrives in the pieces that `cuts` (ascending offsets) make of it, each in a buffer with other bytes around it. */
export function readChunks(bytes: Buffer, cuts: readonly number[] = [], reader = new ChunkedReader(), poison = '0\r\n\r\n'): ChunkedResult {
  reader.reset();
  const body: string[] = [];
  let done = 0;
  for (const end of [...cuts, bytes.length]) {
    const piece = Buffer.concat([Buffer.from('00000', 'latin1'), bytes.subarray(done, end), Buffer.from(poison, 'latin1')]);
    const to = BEFORE + end - done;
    let at = BEFORE;
    for (;;) {
      const found = reader.next(piece, at, to);
      if (found === CHUNK.bad) return { verdict: 'bad', body: body.join(''), trailers: null, size: 0 };
      if (reader.at < at || reader.at > to) throw new Error(`from ${at} it went to ${reader.at}, beyond ${to}`);
      at = reader.at;
      if (found === CHUNK.more) break;
      if (found === CHUNK.end) return { verdict: 'end', body: body.join(''), trailers: trailersOf(reader), size: done + at - BEFORE };
      if (reader.dataStart >= reader.dataEnd) throw new Error('it found data without bytes');
      body.push(piece.toString('latin1', reader.dataStart, reader.dataEnd));
    }
    done = end;
  }
  return { verdict: 'more', body: body.join(''), trailers: null, size: 0 };
}

function trailersOf(reader: ChunkedReader): string | null {
  if (reader.trailers === null || reader.trailerBytes === null) return null;
  const { count, spans } = reader.trailers;
  return reader.trailerBytes.toString('latin1', spans[0], reader.trailers.lineEnd(count - 1));
}
