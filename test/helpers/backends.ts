import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Answers, HealthMode, Order, Reply, VersionRecord } from './backend_messages.ts';
import { childEnv, killed } from './process.ts';
import { freePorts } from './ports.ts';
import type { Teardown } from './temp.ts';
import { PATIENCE, within } from './wait.ts';

const ENTRY = fileURLToPath(new URL('./backend_process.ts', import.meta.url));

/** A process with backends of any number of versions; it ends with the test. */
export class Backends {
  readonly child: ChildProcess;
  #asked = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #count = 0;

  private constructor() {
    this.child = fork(ENTRY, { env: childEnv(), execArgv: [] });
    this.child.on('message', ({ id, value, error }: Reply) => {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error === null) asked?.resolve(value);
      else asked?.reject(new Error(error));
    });
  }

  static async start(t: Teardown): Promise<Backends> {
    const backends = new Backends();
    t.teardown(() => backends.stop());
    return backends;
  }

  stop(): Promise<void> {
    return killed(this.child);
  }

  /**
   * Starts backends of a version on ports of their own (or one on the port given), which nobody else gets while they do not listen.
   * @returns their addresses.
   */
  async listen(version: string, count = 2, { health = 'ok', port }: { health?: HealthMode; port?: number } = {}): Promise<string[]> {
    const ports = port === undefined ? await freePorts(count) : [port];
    await this.#order({ type: 'listen', version, ports, health });
    return ports.map((each) => `127.0.0.1:${each}`);
  }

  /** Sets what the backends of a version (or one of them) answer on their probe path. */
  async health(version: string, health: HealthMode, address?: string): Promise<void> {
    await this.#order({ type: 'health', version, health, port: portOf(address) });
  }

  async answers(version: string, answers: Answers, address?: string): Promise<void> {
    await this.#order({ type: 'answers', version, answers, port: portOf(address) });
  }

  /** Answers the requests to `/hold`. @returns how many there were. */
  async letGo(version: string): Promise<number> {
    return (await this.#order({ type: 'let-go', version })) as number;
  }

  async record(version: string): Promise<VersionRecord> {
    return (await this.#order({ type: 'record', version })) as VersionRecord;
  }

  /** Stops listening and hangs up. */
  async close(version: string, address?: string): Promise<void> {
    await this.#order({ type: 'close', version, port: portOf(address) });
  }

  #order(order: Order): Promise<unknown> {
    const id = ++this.#count;
    const answered = new Promise<unknown>((resolve, reject) => this.#asked.set(id, { resolve, reject }));
    this.child.send({ id, order });
    return within(PATIENCE, `the backends to obey ${order.type}`, answered);
  }
}

function portOf(address: string | undefined): number | null {
  return address === undefined ? null : Number(address.slice(address.lastIndexOf(':') + 1));
}
