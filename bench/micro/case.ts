/** One operation of the hot path. */
export interface Case {
  readonly name: string;
  /** Does it so many times; gives back something of each, so that none can be left out. */
  run(times: number): number;
}

/** A case of one operation. */
export function repeated(name: string, once: (i: number) => number): Case {
  return {
    name,
    run(times) {
      let sum = 0;
      for (let i = 0; i < times; i++) sum += once(i);
      return sum;
    },
  };
}
