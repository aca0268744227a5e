import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { startAdmin } from './admin/server.ts';
import type { AdminServer } from './admin/server.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { openSource } from './pull/source.ts';
import type { Source, SourceOptions, Tell } from './pull/source.ts';
import { Refusal } from './errors/catalogue.ts';
import type { Issue } from './errors/catalogue.ts';
import { messageOf } from './errors/message.ts';
import { Control } from './control/control.ts';
import { createMetrics } from './metrics/metrics.ts';

/** What the command line may change of the configuration. */
export interface Overrides {
  readonly port?: number;
  readonly admin?: { readonly host: string; readonly port: number };
  readonly threads?: number;
  /** Relative to the working directory. */
  readonly stateDir?: string;
}

export interface ServeOptions {
  readonly configFile: string;
  /** What the configuration is pulled from instead. */
  readonly pull?: Omit<SourceOptions, 'file' | 'stateDir'>;
  readonly overrides: Overrides;
  readonly stdout: { write(text: string): unknown; readonly writableLength?: number };
  readonly stderr: { write(text: string): unknown };
}

/** Log lines that wait for a slow reader of stdout; past it they are dropped, and how many is said. */
const LOG_BACKLOG = 8 * 1024 * 1024;

/**
 * Runs the proxy until SIGTERM or SIGINT, then lets what is in flight end. A second signal ends it at once.
 * @returns the exit code: 0, also when requests had to be cut at the shutdown deadline (which is said).
 * @throws Refusal when the configuration is not valid or an address cannot be listened on.
 */
export async function serve(options: ServeOptions): Promise<number> {
  const { stderr, configFile, overrides } = options;
  const tell: Tell = (level, message): void => void stderr.write(`${new Date().toISOString()} ${level} ${message}\n`);
  let early = false;
  let reload = (): void => void (early = true);
  const hear = (): void => reload();
  const { source, first } = await openSource({ ...options.pull, file: configFile, stateDir: overrides.stateDir }, hear, tell);
  const config = override(first, source, overrides);
  process.on('SIGHUP', hear);
  // Who reads what is printed may go away; the proxy stays. Unheard, the error of one line would be told in the next, for ever.
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => undefined);
  // The data plane works on without this thread: what goes wrong here is told, and does not end it.
  process.on('uncaughtException', (error) => tell('error', `control plane: ${error.stack ?? error.message}`));
  process.on('unhandledRejection', (reason) => tell('error', `control plane: ${reason instanceof Error ? reason.stack : String(reason)}`));
  try {
    const { control, listeners } = await Control.start({ config, source, onLog: logTo(options.stdout), tell });
    const admin = await openAdmin(config, control, tell).catch(async (error: unknown) => {
      await control.stop();
      throw error;
    });
    options.stdout.write(banner(config, control, listeners, admin));
    const reloader = new Reloader(source, overrides, control, tell);
    reload = () => void reloader.run();
    if (early) reload();
    const signal = await ended();
    reload = () => undefined;
    tell('info', `${signal}: draining, for up to ${config.shutdown.drain / 1000} s; once more to end at once`);
    const cut = await control.stop();
    await admin.close();
    tell('info', cut === 0 ? 'every request was completed' : `${cut} ${cut === 1 ? 'request was' : 'requests were'} cut at the deadline`);
    return 0;
  } finally {
    source.close();
    process.off('SIGHUP', hear);
  }
}

function override(config: Config, source: Source, { port, admin, threads, stateDir = source.stateDir ?? undefined }: Overrides): Config {
  return {
    ...config,
    listeners: port === undefined ? config.listeners : config.listeners.map((listener, i) => (i === 0 ? { ...listener, port } : listener)),
    admin: admin === undefined ? config.admin : { ...config.admin, ...admin },
    dataThreads: threads ?? config.dataThreads,
    stateDir: stateDir === undefined ? config.stateDir : resolve(stateDir),
  };
}

function openAdmin(config: Config, control: Control, tell: Tell): Promise<AdminServer> {
  const metrics = createMetrics({ snapshot: () => control.snapshot() });
  const { host, port, tokens, allowedHosts } = config.admin;
  return startAdmin({
    host,
    port,
    tokens,
    allowedHosts,
    operations: control.operator,
    metrics: async () => ({ contentType: metrics.contentType, text: await metrics.text() }),
    log: (level, message, facts) => {
      if (level === 'error') tell(level, `${message} ${JSON.stringify(facts)}`);
    },
  });
}

/** Puts in force what the source says now; what cannot be is told once, and the running configuration stays. */
class Reloader {
  private readonly source: Source;
  private readonly overrides: Overrides;
  private readonly control: Control;
  private readonly tell: Tell;
  private told = '';
  private running = false;
  private again = false;

  constructor(source: Source, overrides: Overrides, control: Control, tell: Tell) {
    this.source = source;
    this.overrides = overrides;
    this.control = control;
    this.tell = tell;
  }

  /** One look after the other, so that what was read first is never put in force last. */
  async run(): Promise<void> {
    this.again = true;
    if (this.running) return;
    this.running = true;
    while (this.again) {
      this.again = false;
      await this.look();
    }
    this.running = false;
  }

  private async look(): Promise<void> {
    const { source, control } = this;
    try {
      const changed = await control.reload(override(await source.load(), source, this.overrides));
      this.count(changed ? 'applied' : 'unchanged');
      this.told = '';
    } catch (error) {
      const refused = error instanceof Refusal;
      this.count(refused ? 'refused' : 'failed');
      this.refuse(messageOf(error), refused ? error.errors : []);
      // What is wrong may be one certificate; the others are not held up by it.
      if (source.kind === 'file') await control.certificates.reload('a failed reload of the configuration');
    }
  }

  private count(outcome: string): void {
    const { pulls } = this.control.structure;
    if (this.source.kind === 'pull') pulls[outcome] = (pulls[outcome] ?? 0) + 1;
  }

  private refuse(message: string, errors: readonly Issue[]): void {
    // A source is looked at again and again; an edit of a file is one.
    if (this.source.kind === 'pull' && message === this.told) return;
    this.told = message;
    this.tell('error', `the configuration was not reloaded, the running one stays: ${message}`);
    const data = { source: this.source.name, error: message, errors };
    this.control.events.emit({ type: 'config-refused', upstream: null, version: null, data });
  }
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process. */
function ended(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const hear = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(1);
      asked = true;
      resolve(signal);
    };
    process.on('SIGTERM', hear);
    process.on('SIGINT', hear);
  });
}

function logTo(stdout: ServeOptions['stdout']): (batch: string) => void {
  let dropped = 0;
  return (batch) => {
    if ((stdout.writableLength ?? 0) > LOG_BACKLOG) {
      dropped += batch.split('\n').length - 1;
      return;
    }
    if (dropped > 0) stdout.write(`${JSON.stringify({ dropped })}\n`);
    dropped = 0;
    stdout.write(batch);
  };
}

function banner(config: Config, control: Control, listeners: readonly { host: string; port: number }[], admin: AdminServer): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  const lines = [`switchyard ${version} is ready`, ''];
  for (const { host, port } of listeners) lines.push(row('front door', urlOf(host, port)));
  lines.push(row('admin', urlOf(admin.address.host, admin.address.port)));
  for (const { name, versions } of control.operator.upstreams()) {
    const live = versions
      .filter(({ phase }) => phase === 'live')
      .map(({ id, weight, backends }) => {
        const healthy = backends.filter(({ health }) => health === 'healthy').length;
        return `${id} live${weight === 100 ? '' : ` with ${weight} %`}, ${healthy} of ${backends.length} ${backends.length === 1 ? 'backend' : 'backends'} healthy`;
      });
    lines.push(row(name, live.join('; ') || 'nothing live yet'));
  }
  const next = nextSwap(config, control);
  if (next !== null) lines.push('', row('try', next));
  const launching = [...config.upstreams.values()].find(({ launch }) => launch !== null);
  if (launching !== undefined) {
    const id = unusedVersion(control, launching);
    lines.push(row(next === null ? 'try' : 'or', `npx switchyard deploy ${launching.name} --version ${id}`));
  }
  return `${lines.join('\n')}\n\n`;
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(12)} ${text}`;
}

function urlOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

/** A name that no version has yet: `v3`, or the next of its kind that is free. */
function unusedVersion(control: Control, { name, versions }: UpstreamConfig): string {
  const taken = new Set([...versions, ...control.operator.versions(name)].map(({ id }) => id));
  let number = 3;
  while (taken.has(`v${number}`)) number++;
  return `v${number}`;
}

/** The swap to a version that the configuration says how to launch, and that is not live. */
function nextSwap(config: Config, control: Control): string | null {
  for (const { name, split } of control.operator.upstreams()) {
    const next = config.upstreams.get(name)?.versions.find(({ id, launch }) => launch !== null && split[id] === undefined);
    if (next !== undefined) return `npx switchyard swap ${name} --to ${next.id}`;
  }
  return null;
}
