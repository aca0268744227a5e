import { hashText } from '../pool/split.ts';

/** A prime well above 100 × the number of backends that one version usually has. */
export const MAGLEV_SIZE = 5003;

/**
 * Lookup table of Maglev hashing (Eisenbud et al., NSDI 2016, §3.4): each backend fills entries in an
 * order of its own until all are taken, as often as its weight says. When a backend goes, few keys of the others move.
 * @returns for each of MAGLEV_SIZE entries the index of a backend.
 */
export function maglevTable(backends: readonly { readonly address: string; readonly weight: number }[]): Uint16Array {
  const table = new Uint16Array(MAGLEV_SIZE);
  if (backends.length === 0) return table;
  const taken = new Uint8Array(MAGLEV_SIZE);
  const heaviest = Math.max(...backends.map((backend) => backend.weight));
  const turns = backends.map(({ address, weight }) => ({
    at: (hashText(address) >>> 0) % MAGLEV_SIZE,
    skip: ((hashText(address, 0x9747b28c) >>> 0) % (MAGLEV_SIZE - 1)) + 1,
    share: weight / heaviest,
    credit: 0,
  }));
  for (let filled = 0; filled < MAGLEV_SIZE;) {
    for (let i = 0; i < turns.length && filled < MAGLEV_SIZE; i++) {
      const turn = turns[i];
      turn.credit += turn.share;
      if (turn.credit < 1) continue;
      turn.credit -= 1;
      while (taken[turn.at] === 1) turn.at = (turn.at + turn.skip) % MAGLEV_SIZE;
      taken[turn.at] = 1;
      table[turn.at] = i;
      filled++;
    }
  }
  return table;
}
