import type { Client } from './_client.ts';

/** The command's exit codes, as the README documents them. */
export const EXIT = { done: 0, failed: 1, usage: 2, drift: 2, killed: 3, unfinished: 4, conflict: 5, unreachable: 6 } as const;

/** One output stream of the process, or what stands in for it. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** What a command may touch of the process it runs in. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `listener` on Ctrl-C instead of ending the process, until the answer is called. */
  onInterrupt(listener: () => void): () => void;
}

export interface Flag {
  readonly type: 'string' | 'boolean';
  /** Whether it may be given several times; its value then is a list. */
  readonly multiple?: boolean;
  /** Whether the verb does not go without it; shown in the usage line, checked by the verb. */
  readonly required?: boolean;
  /** Placeholder of its value in the help: `D`, `HOST:PORT`. */
  readonly value?: string;
  /** All values that it takes, where they can be listed; offered by completion. */
  readonly values?: readonly string[];
  readonly help: string;
}

export interface Argument {
  /** As shown in the help: `UPSTREAM`. */
  readonly name: string;
  readonly required: boolean;
  /** What it stands for; those of the words UPSTREAM, ID and VERB explain themselves. */
  readonly help?: string;
  /** All values that it takes, where they can be listed; offered by completion. */
  readonly values?: readonly string[];
}

/** A command line, parsed and checked against the verb's arguments and flags. */
export interface Call {
  /** Positional arguments, as many as the verb asks for at least and knows at most. */
  readonly args: readonly string[];
  /** What stands behind `--`. */
  readonly rest: readonly string[];
  readonly io: Io;
  readonly json: boolean;
  /** Prints what the API has answered: as JSON where that was asked for, else as the text. */
  readonly print: (answer: unknown, text: string | readonly string[]) => void;
  /** The value of a flag; undefined when it was not given. */
  text(flag: string): string | undefined;
  /** The values of a flag that may be given several times. */
  texts(flag: string): readonly string[];
  has(flag: string): boolean;
  /** A duration in milliseconds; undefined when it was not given. Throws a CliError when it is not one. */
  duration(flag: string): number | undefined;
  /** The admin API that --admin and --token name. */
  readonly api: Client;
}

/** One command. A verb whose code is heavy (`run`) loads it inside `run()`, so that the others start fast. */
export interface Verb {
  readonly name: string;
  readonly args: readonly Argument[];
  readonly flags: Readonly<Record<string, Flag>>;
  /** What may follow behind `--`, as shown in the help: `COMMAND`; without it nothing may. */
  readonly rest?: string;
  /** One line, for the list of verbs. */
  readonly summary: string;
  /** Further lines of its help. */
  readonly details?: string;
  readonly examples?: readonly string[];
  /** The exit codes it can end with, where they are others than those of most verbs. */
  readonly exits?: readonly number[];
  /** Verbs to read about next. */
  readonly see?: readonly string[];
  /** True when it does not call the admin API: --admin, --token and --json are unknown to it. */
  readonly local?: boolean;
  /** @returns the exit code. */
  run(call: Call): Promise<number>;
}

/** A failure with its exit code, told in one sentence, with what to do next where that is known. */
export class CliError extends Error {
  readonly exit: number;
  readonly hint: string | null;

  constructor(exit: number, message: string, hint: string | null = null) {
    super(message);
    this.name = 'CliError';
    this.exit = exit;
    this.hint = hint;
  }
}
