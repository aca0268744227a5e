import { stripVTControlCharacters } from 'node:util';
import type { Io, Output } from './verb.ts';

type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };
const ERASE_LINE = '\r\x1b[2K';
const ERASE_BELOW = '\x1b[0J';
const ERASE_REST = '\x1b[0K';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

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

const FRAME_MS = 100;
export const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** On anything but a terminal: how long nothing is said before a line tells what is being waited for. */
const SILENCE_MS = 10_000;

/** A last line that is drawn over while something goes on. On anything but a terminal it is a line of its own after each 10 s without another. */
export class LiveLine {
  private readonly output: Output;
  private readonly live: boolean;
  private drawn = false;
  private frame = 0;
  private timer: NodeJS.Timeout | null = null;
  private readonly now: () => number;
  private saidAt: number;

  /** @param now milliseconds of a clock that never goes back. */
  constructor(io: Io, now: () => number = () => performance.now()) {
    this.output = io.stdout;
    this.live = redraws(io.stdout, io.env);
    this.now = now;
    this.saidAt = now();
  }

  /** Shows what is going on, drawn anew ten times a second until the next call; `text` is given the sign that it moves. */
  draw(text: (sign: string) => string): void {
    if (!this.live) return this.sayNowAndThen(text);
    if (this.timer !== null) clearInterval(this.timer);
    const paint = (): void => {
      this.output.write(`${ERASE_LINE}${cut(text(FRAMES[this.frame++ % FRAMES.length]), (this.output.columns ?? 80) - 1)}`);
    };
    paint();
    this.drawn = true;
    this.timer = setInterval(paint, FRAME_MS).unref();
  }

  private sayNowAndThen(text: (sign: string) => string): void {
    if (this.now() - this.saidAt >= SILENCE_MS) this.print(text('…'));
  }

  /** Writes a line that stays, above the live one. */
  print(line: string): void {
    this.clear();
    this.output.write(`${line}\n`);
    this.saidAt = this.now();
  }

  clear(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    if (this.drawn) this.output.write(ERASE_LINE);
    this.drawn = false;
  }
}

/** The first `width` characters, colours not counted and closed. */
export function cut(text: string, width: number): string {
  if (stripVTControlCharacters(text).length <= width) return text;
  let kept = '';
  let left = width;
  // Codes of colours are passed on whole; they take no room.
  for (const [part] of text.matchAll(/\x1b\[[0-9;]*m|[^\x1b]/gu)) {
    if (part.startsWith('\x1b')) kept += part;
    else if (left-- > 0) kept += part;
  }
  return kept;
}

const BAR_WIDTH = 20;

/** `█████░░░░░`: how much of something is done, 0 to 1. */
export function bar(share: number, width = BAR_WIDTH): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
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
    const width = (this.output.columns ?? 80) - 1;
    const lines = text.split('\n');
    const room = Math.max(1, (this.output.rows ?? 24) - 1);
    const fitting = lines.length > room ? [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`] : lines;
    const up = this.height > 0 ? `\x1b[${this.height}A` : '';
    // Line by line: what is erased first and written later flickers.
    const drawn = fitting.map((line) => `${cut(line, width)}${ERASE_REST}`).join('\n');
    this.output.write(`${this.height === 0 ? HIDE_CURSOR : ''}${up}\r${drawn}${ERASE_BELOW}`);
    this.height = fitting.length - 1;
  }

  /** Leaves the last screen standing. */
  end(): void {
    if (this.live && this.last !== '') this.output.write(`\n${SHOW_CURSOR}`);
  }
}
