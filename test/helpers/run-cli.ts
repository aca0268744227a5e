import { runCli } from '../../src/cli/main.ts';

export interface Ran {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  /** stdout as one JSON document. */
  readonly json: unknown;
}

export interface Running {
  readonly done: Promise<Ran>;
  /** Ctrl-C. */
  interrupt(): void;
  /** What is on stdout so far. */
  out(): string;
}

/** Runs one command line in this process, over captured streams. */
export function startCli(argv: readonly string[], env: Record<string, string> = {}, terminal = false): Running {
  let out = '';
  let err = '';
  const listeners = new Set<() => void>();
  const done = runCli(argv, {
    stdout: { write: (text: string) => void (out += text), isTTY: terminal, columns: 120, rows: 40 },
    stderr: { write: (text: string) => void (err += text), isTTY: terminal },
    env,
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  });
  return {
    done: done.then((exit) => ({
      exit,
      out,
      err,
      get json() {
        return JSON.parse(out) as unknown;
      },
    })),
    interrupt: () => {
      for (const listener of listeners) listener();
    },
    out: () => out,
  };
}
