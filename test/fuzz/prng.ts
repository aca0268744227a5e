/** A small generator of pseudo-random numbers (sfc32, after Chris Doty-Humphrey): the same seed and stream give the same numbers. */
export class Prng {
  private a = 0;
  private b = 0;
  private c = 0;
  private counter = 0;

  constructor(seed: number, stream: number) {
    this.a = seed | 0;
    this.b = stream | 0;
    this.c = Math.floor(seed / 2 ** 32) | 0;
    this.counter = 1;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 random bits, unsigned. */
  next(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** In [0, 1), in the place of Math.random. */
  readonly float = (): number => this.next() / 2 ** 32;

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor((this.next() / 2 ** 32) * end);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** Ascending, distinct offsets inside `length` bytes; mostly few, sometimes all. */
  cuts(length: number): number[] {
    if (length < 2) return [];
    if (length < 400 && this.chance(5)) return Array.from({ length: length - 1 }, (_, i) => i + 1);
    const found = new Set<number>();
    for (let i = this.below(6); i > 0; i--) found.add(1 + this.below(length - 1));
    return [...found].sort((x, y) => x - y);
  }
}
