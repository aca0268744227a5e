/** One line of the access log, as JSON. */
export interface LogEntry {
  readonly at: string;
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly target: string;
  /** '' = unknown: there was no head that could be read. */
  readonly protocol: '' | 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** 0 = there was no answer. */
  readonly status: number;
  /** Milliseconds from the complete head to the end of the answer. */
  readonly ms: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly upstream: string | null;
  readonly version: string | null;
  readonly backend: string | null;
  readonly retries: number;
  readonly requestId: string;
  /** Code of the fault, when the proxy answered itself or the exchange did not complete. */
  readonly reason: string | null;
}

const NO_REQUEST: LogEntry = {
  at: '',
  client: '',
  method: '',
  host: '',
  target: '',
  protocol: '',
  status: 0,
  ms: 0,
  bytesIn: 0,
  bytesOut: 0,
  upstream: null,
  version: null,
  backend: null,
  retries: 0,
  requestId: '',
  reason: null,
};

const SAMPLE = 100;
const BATCH_BYTES = 65_536;

/**
 * Collects lines and hands them over in batches, off the hot path. `sampled` keeps one request in
 * 100 and everything that went wrong.
 */
export class AccessLog {
  mode: 'off' | 'sampled' | 'full';
  private lines = '';
  private seen = 0;
  private readonly send: (batch: string) => void;

  constructor(mode: 'off' | 'sampled' | 'full', send: (batch: string) => void) {
    this.mode = mode;
    this.send = send;
  }

  write(entry: LogEntry): void {
    if (this.mode === 'off') return;
    if (this.mode === 'sampled' && entry.reason === null && entry.status < 500 && this.seen++ % SAMPLE !== 0) return;
    this.lines += `${JSON.stringify(entry)}\n`;
    if (this.lines.length > BATCH_BYTES) this.flush();
  }

  /** A connection that was refused before there was a request. */
  refused(client: string, reason: string): void {
    if (this.mode === 'off') return;
    this.write({ ...NO_REQUEST, at: new Date().toISOString(), client, reason });
  }

  /** Called every tick of the thread's timer. */
  flush(): void {
    if (this.lines === '') return;
    const batch = this.lines;
    this.lines = '';
    this.send(batch);
  }
}
