import { createServer } from 'node:net';

/** Takes ports of a range that nobody listens on, in turn, so that one that was just given back is not the next. */
export class Ports {
  private readonly from: number;
  private readonly to: number;
  private next: number;
  private readonly held = new Set<number>();

  /** @param random in [0, 1): where in the range it begins, so that two proxies of a machine seldom meet. */
  constructor({ from, to }: { readonly from: number; readonly to: number }, random: () => number) {
    this.from = from;
    this.to = to;
    this.next = from + Math.floor(random() * (to - from + 1));
  }

  /** A port that is free now and given to nobody else here. null = there is none. */
  async take(): Promise<number | null> {
    for (let tried = 0; tried <= this.to - this.from; tried++) {
      const port = this.next;
      this.next = port === this.to ? this.from : port + 1;
      if (this.held.has(port)) continue;
      this.held.add(port);
      if (await isFree(port)) return port;
      this.held.delete(port);
    }
    return null;
  }

  /** Keeps a port that is in use from an earlier life of the proxy. */
  hold(port: number): void {
    this.held.add(port);
  }

  giveBack(port: number): void {
    this.held.delete(port);
  }
}

/** Whether a program could listen on it, on any address of this machine. */
export async function isFree(port: number): Promise<boolean> {
  return (await bindable(port, '0.0.0.0')) && bindable(port, '::');
}

function bindable(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // A machine without IPv6 has nobody who listens there.
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL'));
    server.listen({ port, host, ipv6Only: host === '::', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
