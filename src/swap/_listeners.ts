/** Who is told of something. One that throws keeps nothing back: not the others, and not who tells. */
export class Listeners<T> {
  private readonly all = new Set<(value: T) => void>();
  private readonly failed: (error: unknown) => void;

  /** @param failed told of what a listener has thrown */
  constructor(failed: (error: unknown) => void) {
    this.failed = failed;
  }

  /** The answer ends it. */
  add(listener: (value: T) => void): () => void {
    // The same function may listen twice.
    const own = (value: T): void => listener(value);
    this.all.add(own);
    return () => void this.all.delete(own);
  }

  tell(value: T): void {
    for (const listener of this.all) {
      try {
        listener(value);
      } catch (error) {
        this.failed(error);
      }
    }
  }

  clear(): void {
    this.all.clear();
  }
}
