import { pick } from '../../src/balance/pick.ts';
import { Rotation } from '../../src/balance/rotation.ts';
import type { Gauges } from '../../src/balance/rotation.ts';
import type { Balance } from '../../src/pool/policy.ts';
import { randomFrom } from '../swap/random.ts';

/** Slots are not positions: backend `i` has slot FIRST_SLOT + 2 × i. */
const FIRST_SLOT = 10;

/** Gauges set by hand; every backend is available, idle and has its full weight until told. */
export class FakeGauges implements Gauges {
  readonly down = new Set<number>();
  readonly load = new Map<number, number>();
  readonly open = new Map<number, number>();
  readonly eased = new Map<number, number>();
  /** How often anything was read. */
  reads = 0;

  available(slot: number): boolean {
    this.reads++;
    return !this.down.has(slot);
  }

  inFlight(slot: number): number {
    this.reads++;
    return this.load.get(slot) ?? 0;
  }

  openSockets(slot: number): number {
    this.reads++;
    return this.open.get(slot) ?? 0;
  }

  weight(slot: number): number {
    this.reads++;
    return this.eased.get(slot) ?? 1000;
  }
}

export function slotOf(index: number): number {
  return FIRST_SLOT + 2 * index;
}

export interface Bench {
  readonly gauges: FakeGauges;
  readonly rotation: Rotation;
  /** Picks once. `tried` and the key of maglev are positions and a number. */
  pick(tried?: readonly number[], key?: number): number;
  /** Shares of `picks` picks, per backend. */
  shares(picks: number): number[];
}

/** A rotation of backends with these weights over gauges set by hand. */
export function benchOf(balance: Balance, weights: readonly number[], limit: number | null = null, seed = 1): Bench {
  const gauges = new FakeGauges();
  const rotation = new Rotation(
    weights.map((weight, i) => ({ slot: slotOf(i), address: `10.0.0.${i}:80`, weight })),
    balance,
    { connections: limit, sockets: null },
  );
  const random = randomFrom(seed);
  const one = (tried: readonly number[] = [], key = Math.floor(random() * 2 ** 32)): number => pick(rotation, gauges, tried.map(slotOf), key, random);
  return {
    gauges,
    rotation,
    pick: one,
    shares(picks) {
      const counts = weights.map(() => 0);
      for (let i = 0; i < picks; i++) counts[one()]++;
      return counts.map((count) => count / picks);
    },
  };
}
