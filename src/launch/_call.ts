import { spawn } from 'node:child_process';

const MOST_OUTPUT = 256 * 1024;
const MOST_COMPLAINT = 2_000;

export interface ProgramCall {
  readonly command: readonly string[];
  readonly cwd: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Written to its standard input, as JSON. */
  readonly input: unknown;
  /** Milliseconds; past it the program and all it has started in its group are ended by SIGKILL. */
  readonly timeout: number;
}

/**
 * Calls a program that is given JSON and answers with JSON, or with nothing.
 * @returns what it has answered; undefined = nothing
 * @throws Error in a few words: it failed (with the end of what it wrote to stderr), took too long, said too much or no JSON
 */
export async function callProgram({ command, cwd, env, input, timeout }: ProgramCall, signal?: AbortSignal): Promise<unknown> {
  signal?.throwIfAborted();
  const child = spawn(command[0], command.slice(1), { cwd: cwd ?? undefined, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<number | string | null>();
  const chunks: Buffer[] = [];
  let size = 0;
  let complaint = '';
  const cut: string[] = [];
  const end = (why: string): void => {
    cut.push(why);
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') reject(error);
    }
  };
  const abort = (): void => end('was cut short');
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MOST_OUTPUT) chunks.push(chunk);
    else end(`answered with more than ${MOST_OUTPUT / 1024} KiB`);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-MOST_COMPLAINT)));
  child.stdin.on('error', () => undefined);
  child.once('error', (error: NodeJS.ErrnoException) => reject(new Error(`${command[0]} could not be started: ${error.code ?? error.message}`)));
  child.once('close', (code, killed) => resolve(killed ?? code));
  const timer = setTimeout(() => end(`took longer than ${timeout / 1_000} s`), timeout);
  signal?.addEventListener('abort', abort, { once: true });
  child.stdin.end(JSON.stringify(input));
  try {
    const code = await promise;
    if (cut.length > 0) throw new Error(`${command[0]} ${cut[0]}`);
    if (code !== 0)
      throw new Error(
        `${command[0]} ${typeof code === 'string' ? `was ended by ${code}` : `exited with code ${code}`}${complaint === '' ? '' : `: ${complaint.trim()}`}`,
      );
    const text = Buffer.concat(chunks).toString().trim();
    return text === '' ? undefined : parse(command[0], text);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function parse(program: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${program} did not answer with JSON but with: ${text.slice(0, 100)}`);
  }
}
