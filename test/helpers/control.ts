import { join } from 'node:path';
import { parseConfig } from '../../src/config/parse.ts';
import { Control } from '../../src/control/control.ts';
import type { ControlParts } from '../../src/control/control.ts';
import type { LoggedEvent } from '../../src/control/operations.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { freePort } from './ports.ts';
import { isSeeding } from './seeds.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { PATIENCE, eventually } from './wait.ts';

export const CALLER = { by: 'test' };

/** The control plane and its data threads in this very process, where a thread can be ended. */
export class InProcess {
  readonly control: Control;
  readonly port: number;
  /** What the operator was told, with its level in front. */
  readonly told: readonly string[];
  readonly events: LoggedEvent[] = [];
  #stopped: Promise<number> | null = null;

  private constructor(control: Control, port: number, told: readonly string[]) {
    this.control = control;
    this.port = port;
    this.told = told;
    control.events.on((event) => this.events.push(event));
  }

  /** @param folder what names of files in it are relative to. */
  static async start(t: Teardown, config: Record<string, unknown>, folder?: string, parts: Partial<ControlParts> = {}): Promise<InProcess> {
    const [dir, port] = [await tempDir(t), await freePort()];
    const raw = { listeners: [{ host: '127.0.0.1', port }], dataThreads: 2, stateDir: join(dir, 'state'), shutdown: { drain: '1s' }, ...config };
    const told: string[] = [];
    const { control } = await Control.start({
      ...parts,
      config: parseConfig(raw, { folder }),
      onLog: () => undefined,
      tell: (level, message) => told.push(`${level} ${message}`),
    });
    const here = new InProcess(control, port, told);
    t.teardown(() => here.stop());
    await eventually('the first versions', () => !control.operator.upstreams().some(isSeeding));
    return here;
  }

  /** Ends it as SIGTERM does; a second call waits for the first. */
  stop(): Promise<number> {
    this.#stopped ??= this.control.stop();
    return this.#stopped;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  receipt(upstream: string, id: string, ms = PATIENCE): Promise<Receipt> {
    const { operator } = this.control;
    const released = (): boolean => operator.versions(upstream).some((version) => version.id === id && version.phase === 'released');
    return eventually(`the receipt of ${id}`, () => (released() ? operator.receipt(upstream, id) : null), ms);
  }

  async event(type: string, version?: string, ms = PATIENCE): Promise<LoggedEvent> {
    return eventually(
      `the event ${type} ${version ?? ''}`,
      () => this.events.find((event) => event.type === type && (version === undefined || event.version === version)),
      ms,
      2,
    );
  }
}
