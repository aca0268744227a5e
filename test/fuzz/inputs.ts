import { codecInput, checkCodec } from './codec-target.ts';
import type { CodecInput, Tamper } from './codec-target.ts';
import { Prng } from './prng.ts';
import { Scenario } from './proxy-target.ts';
import type { Seeds } from './seeds.ts';
import { World } from './world.ts';

export type Target = 'codec' | 'proxy';

/** Which input: everything in it follows from this and from the messages that the mutators begin with. */
export interface InputId {
  readonly target: Target;
  readonly seed: number;
  readonly index: number;
}

/** What an input has shown to be wrong, with what is needed to see it again. */
export interface Found extends InputId {
  readonly problem: string;
  readonly stack: string;
  /** Of the codec: the bytes in base64, their cuts, and the setting. */
  readonly input?: Omit<CodecInput, 'bytes'> & { readonly bytes: string };
  /** Of the proxy: what was done, step by step. */
  readonly steps?: readonly string[];
}

/** Streams of random numbers of the two targets do not meet. */
const STREAM = { codec: 0, proxy: 1 << 30 } as const;

/** Runs inputs in this thread. */
export class Inputs {
  /** Messages that went on (codec), or answers that clients got (proxy). */
  judged = 0;
  private world: World | null = null;
  private readonly seeds: Seeds;
  private readonly tamper: Tamper | undefined;

  /** @param tamper a planted bug of the codec */
  constructor(seeds: Seeds, tamper?: Tamper) {
    this.seeds = seeds;
    this.tamper = tamper;
  }

  /** @returns what is wrong, or null. */
  run(id: InputId): Found | null {
    const rng = new Prng(id.seed, STREAM[id.target] + id.index);
    if (id.target === 'codec') return this.again(id, codecInput(this.seeds, rng));
    this.world ??= new World();
    const scenario = new Scenario(this.world, this.seeds, rng);
    try {
      this.judged += scenario.run();
      return null;
    } catch (error) {
      // What it leaves behind would be taken for the next one's.
      this.world = null;
      return { ...id, ...problemOf(error), steps: scenario.steps };
    }
  }

  /** Runs a known input of the codec. */
  again(id: InputId, input: CodecInput): Found | null {
    try {
      this.judged += checkCodec(input, this.tamper);
      return null;
    } catch (error) {
      return { ...id, ...problemOf(error), input: { ...input, bytes: Buffer.from(input.bytes, 'latin1').toString('base64') } };
    }
  }

  /** Runs what a reproducer says. */
  replay(found: Found): Found | null {
    if (found.input === undefined) return this.run({ target: found.target, seed: found.seed, index: found.index });
    const id = { target: found.target, seed: found.seed, index: found.index };
    return this.again(id, { ...found.input, bytes: Buffer.from(found.input.bytes, 'base64').toString('latin1') });
  }
}

function problemOf(error: unknown): { problem: string; stack: string } {
  if (!(error instanceof Error)) return { problem: String(error), stack: '' };
  return { problem: error.message, stack: error.stack ?? '' };
}
