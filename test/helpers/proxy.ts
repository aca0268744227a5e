import { writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UpstreamView } from '../../src/control/operations.ts';
import { freePort } from './ports.ts';
import { MAIN, NodeProcess } from './process.ts';
import type { ExitStatus } from './process.ts';
import { isSeeding } from './seeds.ts';
import { send } from './raw_client.ts';
import type { RequestSpec } from './raw_client.ts';
import type { Response as RawResponse } from './message.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { PATIENCE, eventually, sleep, within } from './wait.ts';

/** A configuration file as JSON; listeners, admin, stateDir and dataThreads are filled in when they are absent. */
export interface ProxyConfig {
  upstreams: Record<string, unknown>;
  [key: string]: unknown;
}

export interface ProxyOptions {
  /** More arguments for `run`. */
  args?: readonly string[];
  env?: Record<string, string>;
  /** How long until /readyz must say 200, in ms; a minute unless told. */
  readyWithin?: number;
  /** Do not wait for /readyz. */
  unready?: boolean;
}

/** The configuration of an upstream that takes all traffic, its backends trusted by a quick TCP probe. */
export function catchAll(versions: Record<string, readonly string[]>, live: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    routes: [{ host: '*', path: '/' }],
    health: { kind: 'tcp', interval: '200ms' },
    versions: Object.fromEntries(Object.entries(versions).map(([id, backends]) => [id, { backends }])),
    live,
    ...more,
  };
}

/** The real proxy in a process of its own, with a configuration and a state folder of its own. */
export class Proxy {
  readonly port: number;
  readonly adminPort: number;
  readonly dir: string;
  readonly configFile: string;
  readonly stateDir: string;
  /** The process that runs now; another one after `restart`. */
  process: NodeProcess;
  #options: ProxyOptions;

  private constructor(dir: string, port: number, adminPort: number, options: ProxyOptions) {
    this.dir = dir;
    this.port = port;
    this.adminPort = adminPort;
    this.configFile = join(dir, 'proxy.config.json');
    this.stateDir = join(dir, 'state');
    this.#options = options;
    this.process = this.#spawn();
  }

  /** Starts it and waits until it is ready; it is ended when the test ends. */
  static async start(t: Teardown, config: ProxyConfig, options: ProxyOptions = {}): Promise<Proxy> {
    const dir = await tempDir(t, 'switchyard-proxy');
    const [port, adminPort] = [await freePort(), await freePort()];
    const whole = {
      listeners: [{ host: '127.0.0.1', port }],
      admin: { host: '127.0.0.1', port: adminPort },
      dataThreads: 2,
      stateDir: join(dir, 'state'),
      ...config,
    };
    await writeFile(join(dir, 'proxy.config.json'), JSON.stringify(whole, null, 2));
    const proxy = new Proxy(dir, port, adminPort, options);
    t.teardown(() => proxy.kill());
    if (!options.unready) await proxy.ready();
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  /** Everything the present process has printed. */
  get output(): string {
    return this.process.stdout + this.process.stderr;
  }

  /** The lines of the access log that are whole. */
  get log(): Record<string, unknown>[] {
    const { stdout } = this.process;
    const lines = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n');
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The first line of the access log about a request to that target, once it is there. */
  logged(target: string): Promise<Record<string, unknown>> {
    return eventually(`the line of ${target}`, () => this.log.find((line) => line.target === target));
  }

  /** Resolves when /readyz says 200 and the first versions are live; rejects, with the output, when the process ends first or the time is up. */
  async ready(deadline = this.#options.readyWithin ?? 60_000): Promise<void> {
    let last = 'no answer';
    const polled = async (): Promise<void> => {
      const end = performance.now() + deadline;
      while (this.process.running && performance.now() < end) {
        const response = await this.admin('/readyz').catch((error: unknown) => String(error));
        if (typeof response !== 'string' && response.status === 200) return this.#seeded();
        last = typeof response === 'string' ? response : `${response.status} ${JSON.stringify(response.json ?? response.text)}`;
        await sleep(20);
      }
      throw new Error('the proxy has ended or is late');
    };
    try {
      await within(deadline, '/readyz', polled());
    } catch (error) {
      throw new Error(`the proxy did not get ready (${last}); its output:\n${this.output}`, { cause: error });
    }
  }

  /** Once what is live from the start has been found healthy, should a busy machine need longer for that than the proxy waits. */
  async #seeded(): Promise<void> {
    const seeding = async (): Promise<boolean> => {
      const { status, json } = await this.admin('/v1/upstreams');
      return status === 200 && (json as UpstreamView[]).some(isSeeding);
    };
    await eventually('the first versions', async () => !this.process.running || !(await seeding()));
  }

  /** One request through the proxy on a connection of its own. */
  send(request?: RequestSpec, deadline?: number): Promise<RawResponse> {
    return send(this.port, request, deadline);
  }

  /** One call of the admin API. A `body` that is no string is sent as JSON; the method is POST then unless told. */
  async admin(path: string, init: { method?: string; body?: unknown; headers?: Record<string, string>; deadline?: number } = {}): Promise<AdminAnswer> {
    const body = init.body === undefined || typeof init.body === 'string' ? init.body : JSON.stringify(init.body);
    const response = await fetch(this.adminUrl + path, {
      method: init.method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...init.headers },
      body,
      signal: AbortSignal.timeout(init.deadline ?? PATIENCE),
    });
    const text = await response.text();
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, text, json: isJson && text !== '' ? (JSON.parse(text) as unknown) : undefined };
  }

  /** Runs one verb of the CLI against this proxy. */
  cli(args: readonly string[], options: CliOptions = {}): Promise<CliAnswer> {
    return cli(args, { ...options, env: { SWITCHYARD_ADMIN_URL: this.adminUrl, ...options.env } });
  }

  /** Starts a verb of the CLI against this proxy and does not wait for it. */
  cliProcess(args: readonly string[], env: Record<string, string> = {}): NodeProcess {
    return new NodeProcess([MAIN, ...args], { env: { SWITCHYARD_ADMIN_URL: this.adminUrl, ...env } });
  }

  /** Replaces members of the configuration file; the proxy sees it as an edit. */
  async editConfig(change: (config: Record<string, unknown>) => unknown): Promise<void> {
    const config = JSON.parse(await readFile(this.configFile, 'utf8')) as Record<string, unknown>;
    // In one go: a proxy that looks in between would find half a file, and say so.
    writeFileSync(this.configFile, JSON.stringify(change(config) ?? config, null, 2));
  }

  /** Ends it as an operator does and gives back how it ended. */
  stop(signal: NodeJS.Signals = 'SIGTERM', deadline?: number): Promise<ExitStatus> {
    return this.process.stop(signal, deadline);
  }

  /** kill -9. */
  kill(): Promise<ExitStatus> {
    return this.process.stop('SIGKILL');
  }

  /** Starts it again over the same state folder; the earlier process must have ended. */
  async restart(): Promise<void> {
    if (this.process.running) throw new Error('the earlier process still runs');
    this.process = this.#spawn();
    if (!this.#options.unready) await this.ready();
  }

  #spawn(): NodeProcess {
    return new NodeProcess([MAIN, 'run', '--config', this.configFile, ...(this.#options.args ?? [])], { cwd: this.dir, env: this.#options.env });
  }
}

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed when the content type says JSON. */
  readonly json: unknown;
}

export interface CliOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** In ms; 30 s unless told. */
  deadline?: number;
}

export interface CliAnswer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `switchyard <args>` to its end. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliAnswer> {
  const run = new NodeProcess([MAIN, ...args], { cwd: options.cwd, env: options.env });
  const { code } = await run.wait(options.deadline ?? 30_000);
  return { code, stdout: run.stdout, stderr: run.stderr };
}
