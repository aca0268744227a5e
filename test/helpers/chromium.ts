import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { childEnv } from './process.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { eventually, within } from './wait.ts';

/** As root, without a display, without a word to anybody but the page. Certificates are not what it is here for. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--ignore-certificate-errors',
  '--remote-debugging-port=0',
];
const START_MS = 60_000;
const ANSWER_MS = 60_000;

interface Reply {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Debian's `chromium` with a profile of its own and one page, driven by the DevTools protocol. */
export class Chromium {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #session: string | undefined;
  #count = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const reply = JSON.parse(data.toString()) as Reply;
      if (reply.id !== undefined) this.#waiting.get(reply.id)?.(reply);
    });
  }

  static async start(t: Teardown): Promise<Chromium> {
    const profile = await tempDir(t, 'chromium');
    const child = spawn('chromium', [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
      env: childEnv(),
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    t.teardown(() => end(child));
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.on('error', (error) => (said += error.message));
    const address = (): string | undefined => /^DevTools listening on (ws:\S+)$/m.exec(said)?.[1];
    await eventually('the DevTools of Chromium', () => address() !== undefined || child.exitCode !== null || child.pid === undefined, START_MS);
    const url = address();
    if (url === undefined) throw new Error(`Chromium has not started:\n${said}`);
    const socket = new WebSocket(url);
    t.teardown(() => socket.terminate());
    await once(socket, 'open');
    const browser = new Chromium(socket);
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = sessionId as string;
    return browser;
  }

  /** One command of the DevTools protocol, to the page once there is one. */
  async send(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const id = ++this.#count;
    const answered = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    const { result, error } = await within(ANSWER_MS, `Chromium to do ${method}`, answered);
    this.#waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  /** Opens a page and waits until it is loaded with all that belongs to it. */
  async open(url: string): Promise<void> {
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText !== undefined) throw new Error(`${url}: ${JSON.stringify(errorText)}`);
    await eventually(`${url} is loaded`, () => this.run(`document.readyState === 'complete' && location.href === ${JSON.stringify(url)}`), ANSWER_MS, 50);
  }

  /** What an expression comes to in the page, a promise what it is fulfilled with; JSON values only. */
  async run<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }
}

/** It and the processes it has started, which are a group. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const over = once(child, 'exit');
  process.kill(-child.pid, 'SIGKILL');
  await over;
}
