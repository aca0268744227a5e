import type { LoggedEvent } from '../../src/control/operations.ts';
import type { Teardown } from './temp.ts';
import { PATIENCE, eventually } from './wait.ts';

/** An event of the proxy, and when it was heard (`performance.now()`). */
export interface Heard extends LoggedEvent {
  readonly heard: number;
}

/** Listens to /v1/events of a proxy until the test ends, or the proxy does. */
export class Events {
  readonly all: Heard[] = [];
  #stop = new AbortController();
  #over: Promise<void>;

  private constructor(response: Response) {
    this.#over = this.#read(response).catch(() => undefined);
  }

  static async of(t: Teardown, adminUrl: string): Promise<Events> {
    const stop = new AbortController();
    const events = new Events(await fetch(`${adminUrl}/v1/events`, { signal: stop.signal }));
    events.#stop = stop;
    t.teardown(() => events.close());
    return events;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#over;
  }

  async #read(response: Response): Promise<void> {
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const heard = performance.now();
      const parts = (text + chunk).split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) {
        const data = part.split('\n').find((line) => line.startsWith('data:'));
        if (data === undefined) continue;
        const event = JSON.parse(data.slice(5)) as LoggedEvent;
        if (event.type !== undefined) this.all.push({ ...event, heard });
      }
    }
  }

  find(type: string, version?: string): Heard | undefined {
    return this.all.find((event) => event.type === type && (version === undefined || event.version === version));
  }

  /** The first event of that type about that version, once it is heard. */
  wait(type: string, version?: string, ms = PATIENCE): Promise<Heard> {
    return eventually(
      `the event ${type} ${version ?? ''}; heard: ${this.all.map((event) => `${event.type} ${event.version}`).join(', ')}`,
      () => this.find(type, version),
      ms,
      2,
    );
  }
}
