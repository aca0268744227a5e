import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../errors/message.ts';
import { parseAddress } from '../pool/address.ts';
import { callProgram } from './_call.ts';
import { StartError } from './driver.ts';
import type { Driver, End, Handle, Order, Started } from './driver.ts';

const STATUS_EVERY_MS = 2_000;
const STATUS_TIMEOUT_MS = 10_000;
/** A stop may take so much longer than what it stops. */
const STOP_GRACE_MS = 30_000;
const OWN = /^SWITCHYARD_/;

const StartAnswer = z.object({
  id: z.string().min(1).max(1_000),
  address: z.string().refine((text) => parseAddress(text) !== null, { error: 'expected host:port' }),
});

const StatusAnswer = z.object({
  running: z.boolean(),
  code: z.number().int().nullable().default(null),
  output: z.array(z.string()).max(10_000).default([]),
});

/**
 * A program of the user's starts and stops what serves: `command… start|stop|status`, each with a JSON object on standard input
 * and, for `start` and `status`, one as the answer. `stop` without an id ends whatever `start` has begun for that `launch`.
 */
export class ProgramDriver implements Driver {
  private readonly env: Readonly<Record<string, string | undefined>>;
  private readonly every: number;

  /** @param env the proxy's own environment. @param every milliseconds between two questions for the status. */
  constructor(env: Readonly<Record<string, string | undefined>>, every: number = STATUS_EVERY_MS) {
    this.env = env;
    this.every = every;
  }

  async start(order: Order, signal: AbortSignal): Promise<Started> {
    const answer = await this.call(order, 'start', null, order.spec.startTimeout, signal).catch((error: unknown) => {
      throw new StartError(messageOf(error), true);
    });
    const read = StartAnswer.safeParse(answer);
    if (!read.success) throw new StartError(`${order.spec.command[0]} start did not answer {id, address}: ${read.error.issues[0]?.message ?? ''}`, false);
    return { handle: { id: read.data.id }, address: read.data.address };
  }

  async ended(order: Order, handle: Handle, signal: AbortSignal): Promise<End> {
    for (;;) {
      // A question that is not answered says nothing of what was asked about.
      const status = await this.status(order, handle, signal).catch(() => null);
      if (status !== null && !status.running) return { code: status.code, signal: null };
      await sleep(this.every, undefined, { signal });
    }
  }

  async stop(order: Order, handle: Handle | null): Promise<void> {
    await this.call(order, 'stop', handle, order.spec.stopTimeout + STOP_GRACE_MS);
  }

  async output(order: Order, handle: Handle | null, lines: number): Promise<string[]> {
    return handle === null ? [] : (await this.status(order, handle)).output.slice(-lines);
  }

  private async status(order: Order, handle: Handle, signal?: AbortSignal): Promise<z.output<typeof StatusAnswer>> {
    return StatusAnswer.parse(await this.call(order, 'status', handle, STATUS_TIMEOUT_MS, signal));
  }

  private call(order: Order, verb: string, handle: Handle | null, timeout: number, signal?: AbortSignal): Promise<unknown> {
    const { upstream, version, replica, mark, told, spec } = order;
    const env = Object.fromEntries(Object.entries(this.env).filter(([name]) => !OWN.test(name)));
    const input = {
      upstream,
      version,
      replica,
      launch: mark,
      id: handle?.id ?? null,
      env: { ...spec.env, ...told },
      stopTimeoutMs: spec.stopTimeout,
      options: spec.options,
    };
    return callProgram({ command: [...spec.command, verb], cwd: spec.cwd, env, input, timeout }, signal);
  }
}
