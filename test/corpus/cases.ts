import { readFileSync } from 'node:fs';

/**
 * One case of the corpus: bytes that a client sends (or a backend answers), and what a proxy may do with them. The cases
 * of `requests.jsonl` and `responses.jsonl` are facts of public test suites and advisories, those of `own.jsonl` are ours.
 */
export interface CorpusCase {
  readonly id: string;
  readonly class: string;
  readonly kind: 'request' | 'response';
  /** `refuse`: an answer of the proxy's own; `pass`: none; `either`: what it says, as long as it is safe. */
  readonly expect: 'refuse' | 'pass' | 'either';
  /** latin1 text. */
  readonly bytes: string;
  /** Of the request that a response answers. */
  readonly method: string;
  /** The backend leaves its connection open behind its answer. */
  readonly open: boolean;
  /** What it sends 40 ms after its answer; '' = nothing. */
  readonly late: string;
  /** Where the client pauses; 0 = nowhere. */
  readonly pauseAt: number;
}

interface Line {
  readonly id: string;
  readonly class: string;
  readonly kind?: 'response';
  readonly expect: CorpusCase['expect'];
  readonly raw_b64: string;
  readonly method?: string;
  readonly open?: boolean;
  readonly late_b64?: string;
  readonly pauseAt?: number;
}

const latin1 = (base64: string): string => Buffer.from(base64, 'base64').toString('latin1');

function load(name: string): CorpusCase[] {
  const lines = readFileSync(new URL(`${name}.jsonl`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((text) => {
    const { id, kind = 'request', expect, raw_b64, method = 'GET', open = false, late_b64 = '', pauseAt = 0, ...rest } = JSON.parse(text) as Line;
    return { id, class: rest.class, kind, expect, bytes: latin1(raw_b64), method, open, late: latin1(late_b64), pauseAt };
  });
}

export const CORPUS: readonly CorpusCase[] = [...load('requests'), ...load('responses'), ...load('own')];
