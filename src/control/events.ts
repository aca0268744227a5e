import type { SwitchyardEvent } from '../swap/ports.ts';
import type { Origin } from '../webhooks/outbox.ts';
import type { LoggedEvent } from './operations.ts';

const REMEMBERED = 1_000;

/** The last 1 000 events, with ids of which each run of the proxy has its own. */
export class EventLog {
  private readonly run: string;
  private readonly events: LoggedEvent[] = [];
  private readonly listeners = new Set<(event: LoggedEvent, origin: Origin | null) => void>();
  private count = 0;

  /** @param run names this run of the proxy; without `-`. */
  constructor(run: string) {
    this.run = run;
  }

  /** @param origin the decision that it is part of; null = it is in no journal. */
  emit(event: SwitchyardEvent, origin: Origin | null = null): void {
    const logged: LoggedEvent = { ...event, id: `${this.run}-${++this.count}`, at: new Date().toISOString() };
    this.events.push(logged);
    if (this.events.length > REMEMBERED) this.events.shift();
    for (const listener of this.listeners) listener(logged, origin);
  }

  /** Events after `id`, oldest first; `complete` false = some in between are forgotten, or the id is of another run. */
  after(id: string | null): { events: LoggedEvent[]; complete: boolean } {
    if (id === null) return { events: [], complete: true };
    const [run, text = ''] = id.split('-');
    const last = Number(text);
    if (run !== this.run || !/^\d+$/.test(text) || last > this.count) return { events: [...this.events], complete: false };
    const forgotten = this.count - this.events.length;
    return { events: this.events.slice(Math.max(0, last - forgotten)), complete: last >= forgotten };
  }

  on(listener: (event: LoggedEvent, origin: Origin | null) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
