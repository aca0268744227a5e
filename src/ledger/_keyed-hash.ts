/**
 * HalfSipHash-2-4 (Aumasson and Bernstein) with 64 bits of output, over words: a hash with a secret key, so that nobody
 * outside can choose addresses that fall together. Used again and again; nothing is allocated.
 */
export class KeyedHash {
  /** The two halves of the last hash. */
  first = 0;
  second = 0;
  private v0 = 0;
  private v1 = 0;
  private v2 = 0;
  private v3 = 0;
  private readonly k0: number;
  private readonly k1: number;

  constructor(k0: number, k1: number) {
    this.k0 = k0;
    this.k1 = k1;
  }

  /** Hashes four words. */
  of(a: number, b: number, c: number, d: number): void {
    this.v0 = this.k0;
    this.v1 = this.k1 ^ 0xee;
    this.v2 = this.k0 ^ 0x6c796765;
    this.v3 = this.k1 ^ 0x74656462;
    this.word(a);
    this.word(b);
    this.word(c);
    this.word(d);
    this.word(16 << 24);
    this.v2 ^= 0xee;
    for (let i = 0; i < 4; i++) this.round();
    this.first = this.v1 ^ this.v3;
    this.v1 ^= 0xdd;
    for (let i = 0; i < 4; i++) this.round();
    this.second = this.v1 ^ this.v3;
  }

  private word(word: number): void {
    this.v3 ^= word;
    this.round();
    this.round();
    this.v0 ^= word;
  }

  private round(): void {
    let { v0, v1, v2, v3 } = this;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}
