import { readFileSync } from 'node:fs';
import { ApiError } from './_client.ts';
import { candidates } from './_complete.ts';
import { parseCall } from './_parse.ts';
import { certificatesVerb } from './certificates.ts';
import { COMPLETE, completionVerb } from './completion.ts';
import { deployVerb } from './deploy.ts';
import { drainVerb } from './drain.ts';
import { eventsVerb } from './events.ts';
import { explainVerb } from './explain.ts';
import { findVerb, helpOf, helpVerb, overview } from './help.ts';
import { historyVerb, undoVerb } from './history.ts';
import { applyVerb, diffVerb, planVerb } from './plan.ts';
import { holdVerb, unholdVerb } from './hold.ts';
import { checkVerb } from './check.ts';
import { logsVerb } from './logs.ts';
import { receiptVerb } from './receipt.ts';
import { rollbackVerb } from './rollback.ts';
import { runVerb } from './run.ts';
import { statusVerb } from './status.ts';
import { abortVerb, pauseVerb, promoteVerb, resumeVerb } from './steer.ts';
import { swapVerb } from './swap.ts';
import { webhooksVerb } from './webhooks.ts';
import { versionsVerb } from './versions.ts';
import { waitVerb } from './wait.ts';
import { CliError, EXIT } from './verb.ts';
import type { Io, Verb } from './verb.ts';

/** The table of verbs, in the order of the help. */
const VERBS: readonly Verb[] = [
  runVerb,
  checkVerb,
  statusVerb,
  deployVerb,
  swapVerb,
  rollbackVerb,
  promoteVerb,
  pauseVerb,
  resumeVerb,
  abortVerb,
  versionsVerb,
  receiptVerb,
  explainVerb,
  logsVerb,
  drainVerb,
  waitVerb,
  holdVerb,
  unholdVerb,
  planVerb,
  applyVerb,
  diffVerb,
  historyVerb,
  undoVerb,
  eventsVerb,
  certificatesVerb,
  webhooksVerb,
  completionVerb,
  helpVerb(() => VERBS),
];

/** This process as a command sees it. A reader that goes away early (`| head`) ends the command quietly. */
export function processIo(): Io {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.done);
  });
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    onInterrupt: (listener) => {
      process.on('SIGINT', listener);
      return () => void process.off('SIGINT', listener);
    },
  };
}

/** Switchyard's own version, from its package. */
function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return version;
}

/**
 * Runs one command line.
 * @param argv without the runtime and the script.
 * @returns the exit code; every failure has been told on stderr in one sentence, with a hint below it where there is one.
 */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    io.stderr.write(`switchyard: ${error.message}\n${error.hint === null ? '' : `  ${error.hint}\n`}`);
    return error.exit;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    io.stderr.write(overview(VERBS));
    return EXIT.usage;
  }
  if (name === '--version' || name === '-v') {
    io.stdout.write(`switchyard ${packageVersion()}\n`);
    return EXIT.done;
  }
  if (name === '--help' || name === '-h') {
    io.stdout.write(overview(VERBS));
    return EXIT.done;
  }
  if (name === COMPLETE) {
    const [word = '', ...words] = rest;
    io.stdout.write((await candidates(words, word, VERBS, io)).map((candidate) => `${candidate}\n`).join(''));
    return EXIT.done;
  }
  const verb = findVerb(name, VERBS);
  const parsed = parseCall(verb, rest, io);
  if (parsed.help) {
    io.stdout.write(helpOf(verb));
    return EXIT.done;
  }
  try {
    return await verb.run(parsed.call);
  } catch (error) {
    // With --json a refusal, too, is one document on stdout.
    if (error instanceof ApiError && parsed.call.json) io.stdout.write(`${JSON.stringify(error.problem, null, 2)}\n`);
    throw error instanceof CliError ? withNames(error, parsed.call.args) : error;
  } finally {
    await parsed.close();
  }
}

/** Hints are written with UPSTREAM and ID; what the command line called them makes them ready to be copied. */
function withNames(error: CliError, [upstream, id]: readonly string[]): CliError {
  if (error.hint === null || upstream === undefined) return error;
  return new CliError(error.exit, error.message, error.hint.replaceAll('UPSTREAM', upstream).replaceAll(/\bID\b/g, id ?? 'ID'));
}
