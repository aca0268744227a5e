import type { Io, Output } from './verb.ts';

type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };
const ERASE_LINE = '\r\x1b[2K';
const ERASE_BELOW = '\x1b[0J';

export type Paint = (colour: Colour, text: string) => string;

/** Colours text for a terminal, unless NO_COLOR is set (to anything but nothing) or the output is not one. */
export function painter(output: Output, env: Io['env']): Paint {
  const plain = output.isTTY !== true || (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  return plain ? (_colour, text) => text : (colour, text) => `\x1b[${CODES[colour]}m${text}\x1b[0m`;
}

/** Whether lines may be drawn over. */
export function redraws(output: Output, env: Io['env']): boolean {
  return output.isTTY === true && env.TERM !== 'dumb';
}

/** A last line that is drawn over while something goes on; on anything but a terminal it is never written. */
export class LiveLine {
  private readonly output: Output;
  private readonly live: boolean;
  private drawn = false;

  constructor(io: Io) {
    this.output = io.stdout;
    this.live = redraws(io.stdout, io.env);
  }

  draw(text: string): void {
    if (!this.live) return;
    this.output.write(`${ERASE_LINE}${text.slice(0, (this.output.columns ?? 80) - 1)}`);
    this.drawn = true;
  }

  /** Writes a line that stays, above the live one. */
  print(line: string): void {
    this.clear();
    this.output.write(`${line}\n`);
  }

  clear(): void {
    if (this.drawn) this.output.write(ERASE_LINE);
    this.drawn = false;
  }
}

/** Draws a whole screen over the one before; on anything but a terminal the screens follow each other. */
export class Screen {
  private readonly output: Output;
  private readonly live: boolean;
  private height = 0;
  private last = '';

  constructor(io: Io) {
    this.output = io.stdout;
    this.live = redraws(io.stdout, io.env);
  }

  draw(text: string): void {
    if (text === this.last) return;
    this.last = text;
    if (!this.live) {
      this.output.write(`${text}\n`);
      return;
    }
    const fitting = text.split('\n').slice(0, Math.max(1, (this.output.rows ?? 24) - 1));
    const up = this.height > 0 ? `\x1b[${this.height}A` : '';
    this.output.write(`${up}\r${ERASE_BELOW}${fitting.join('\n')}`);
    this.height = fitting.length - 1;
  }

  /** Leaves the last screen standing. */
  end(): void {
    if (this.live && this.last !== '') this.output.write('\n');
  }
}
