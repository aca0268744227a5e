/** What may be had at once, and how it comes back: a bucket that is filled as time passes. */
export class Allowance {
  private readonly atOnce: number;
  private readonly aSecond: number;
  private left: number;
  private at: number;

  /** @param now in ms, as for `spend`. */
  constructor(atOnce: number, aSecond: number, now: number) {
    this.atOnce = atOnce;
    this.aSecond = aSecond;
    this.left = atOnce;
    this.at = now;
  }

  /** @returns false when that much is not there; then nothing is taken. */
  spend(amount: number, now: number): boolean {
    this.left = Math.min(this.atOnce, this.left + ((now - this.at) * this.aSecond) / 1000);
    this.at = now;
    if (amount > this.left) return false;
    this.left -= amount;
    return true;
  }

  /** Gives back some of what was taken, or earned. */
  give(amount: number): void {
    this.left = Math.min(this.atOnce, this.left + amount);
  }
}
