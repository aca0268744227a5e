import type { SwapPorts } from './ports.ts';

/** Named timers of a driver: arming one again replaces it, and all of them can be ended at once. */
export class Timers {
  private readonly ports: SwapPorts;
  private readonly pending = new Map<string, () => void>();

  constructor(ports: SwapPorts) {
    this.ports = ports;
  }

  arm(name: string, ms: number, run: () => void): void {
    this.disarm(name);
    const cancel = this.ports.after(ms, () => {
      this.pending.delete(name);
      run();
    });
    this.pending.set(name, cancel);
  }

  disarm(name: string): void {
    this.pending.get(name)?.();
    this.pending.delete(name);
  }

  has(name: string): boolean {
    return this.pending.has(name);
  }

  clear(): void {
    for (const cancel of this.pending.values()) cancel();
    this.pending.clear();
  }
}
