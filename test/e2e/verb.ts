import type { CliAnswer, Proxy } from '../helpers/proxy.ts';
import { startCli } from '../helpers/run-cli.ts';
import { within } from '../helpers/wait.ts';

/** A verb of the command line at a running proxy, in this process: the real one, without the cost of its start. */
export class Verb {
  /** Whether it has not ended yet. */
  running = true;
  /** What it has printed; complete once it has ended. */
  stdout = '';
  stderr = '';
  #ended: Promise<CliAnswer>;

  constructor({ adminUrl }: Proxy, args: readonly string[]) {
    this.#ended = startCli(args, { SWITCHYARD_ADMIN_URL: adminUrl }).done.then(({ exit, out, err }) => {
      Object.assign(this, { running: false, stdout: out, stderr: err });
      return { code: exit, stdout: out, stderr: err };
    });
  }

  /** Resolves when it has ended, within a minute. */
  wait(): Promise<CliAnswer> {
    return within(60_000, 'the end of the command', this.#ended);
  }
}

/** Runs a verb to its end. */
export function verb(proxy: Proxy, ...args: readonly string[]): Promise<CliAnswer> {
  return new Verb(proxy, args).wait();
}
