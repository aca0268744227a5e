import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors/message.ts';
import { StartError } from './driver.ts';
import type { Driver, End, Handle, Order, Started } from './driver.ts';
import { Engine, EngineError } from './_docker-api.ts';
import { segmentPath, tail } from './_segments.ts';

const LABEL = 'switchyard.launch';
/** The engine stops a container within the time it is given; this much longer it may take to say so. */
const STOP_GRACE_MS = 30_000;
const GONE_POLL_MS = 100;
const GONE_MS = 30_000;
const ENGINE_BACK_MS = 1_000;
/** Lines that are kept of a container that is removed. */
const KEPT_LINES = 1_000;

interface Inspected {
  readonly NetworkSettings: { readonly Networks?: Readonly<Record<string, { readonly IPAddress?: string; readonly GlobalIPv6Address?: string }>> };
}

/** Containers, by the Docker Engine API. They are known by a label, so that also those that no record names are found. */
export class DockerDriver implements Driver {
  private readonly engines = new Map<string, Engine>();

  async start(order: Order, signal: AbortSignal): Promise<Started> {
    const engine = this.engineOf(order);
    try {
      await pull(engine, order, signal);
      const { Id: id } = await engine.json<{ Id: string }>('POST', '/containers/create', { query: { name: nameOf(order) }, body: containerOf(order), signal });
      await engine.call('POST', `/containers/${id}/start`, { signal });
      return { handle: { id }, address: order.spec.network === null ? null : await addressIn(engine, id, order, signal) };
    } catch (error) {
      // What is wrong with the input of a call will be wrong the next time, too.
      const hopeless = error instanceof EngineError && (error.status === 400 || error.status === 404);
      throw error instanceof StartError ? error : new StartError(messageOf(error), !hopeless);
    }
  }

  async ended(order: Order, handle: Handle, signal: AbortSignal): Promise<End> {
    const engine = this.engineOf(order);
    const query = { condition: 'not-running' };
    for (;;) {
      try {
        const { StatusCode } = await engine.json<{ StatusCode: number }>('POST', `/containers/${handle.id}/wait`, { query, signal, timeout: 0 });
        return { code: StatusCode, signal: null };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof EngineError && error.status === 404) return { code: null, signal: null };
        // An engine that is being started again says nothing of its containers.
        await sleep(ENGINE_BACK_MS, undefined, { signal });
      }
    }
  }

  async stop(order: Order): Promise<void> {
    const engine = this.engineOf(order);
    const deadline = performance.now() + order.spec.stopTimeout + GONE_MS;
    for (;;) {
      const ids = await containersOf(engine, order.mark);
      if (ids.length === 0) return;
      if (performance.now() >= deadline) throw new Error(`container ${ids[0].slice(0, 12)} does not go`);
      await Promise.all(ids.map((id) => remove(engine, id, order)));
      await sleep(GONE_POLL_MS);
    }
  }

  async output(order: Order, handle: Handle | null, lines: number): Promise<string[]> {
    if (handle === null) return tail(order.output, lines);
    return linesOf(this.engineOf(order), String(handle.id), lines).catch(() => tail(order.output, lines));
  }

  private engineOf({ spec }: Order): Engine {
    const known = this.engines.get(spec.socket) ?? new Engine(spec.socket);
    this.engines.set(spec.socket, known);
    return known;
  }
}

async function remove(engine: Engine, id: string, order: Order): Promise<void> {
  const { stopTimeout } = order.spec;
  const t = String(Math.ceil(stopTimeout / 1_000));
  await unlessGone(engine.call('POST', `/containers/${id}/stop`, { query: { t }, timeout: stopTimeout + STOP_GRACE_MS }));
  keep(order, await linesOf(engine, id, KEPT_LINES).catch(() => []));
  await unlessGone(engine.call('DELETE', `/containers/${id}`, { query: { force: 'true', v: 'true' } }));
}

async function isThere(engine: Engine, image: string, signal: AbortSignal): Promise<boolean> {
  try {
    await engine.call('GET', `/images/${image}/json`, { signal });
    return true;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return false;
    throw error;
  }
}

async function pull(engine: Engine, { spec }: Order, signal: AbortSignal): Promise<void> {
  const image = spec.image ?? '';
  if (spec.pull === 'never' || (spec.pull === 'missing' && (await isThere(engine, image, signal)))) return;
  // Without a tag the engine would fetch all of them.
  const fromImage = /@|:[^/]*$/.test(image) ? image : `${image}:latest`;
  const answer = await engine.call('POST', '/images/create', { query: { fromImage }, signal, timeout: spec.startTimeout });
  // The status is sent before the pull begins: how it went is said in its lines.
  for (const line of answer.toString().split('\n')) {
    const said = /"error"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (said !== undefined) throw new StartError(`image ${image} could not be pulled: ${JSON.parse(said) as string}`, false);
  }
}

function containerOf({ spec, told, mark, port, upstream, version, replica }: Order): Record<string, unknown> {
  const inside = `${spec.port}/tcp`;
  const env = { ...spec.env, ...told, PORT: String(spec.port) };
  return {
    Image: spec.image,
    ...(spec.command.length === 0 ? {} : { Cmd: spec.command }),
    ...(spec.cwd === null ? {} : { WorkingDir: spec.cwd }),
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    Labels: { [LABEL]: mark, 'switchyard.upstream': upstream, 'switchyard.version': version, 'switchyard.replica': String(replica) },
    ExposedPorts: { [inside]: {} },
    HostConfig: {
      // As the first process of its container a program would not hear SIGTERM.
      Init: true,
      ...(port === null ? {} : { PortBindings: { [inside]: [{ HostIp: '127.0.0.1', HostPort: String(port) }] } }),
      ...(spec.network === null ? {} : { NetworkMode: spec.network }),
      // Only one starts it again, and its output is bounded like that of a program.
      RestartPolicy: { Name: 'no' },
      // The one driver of logs with a bound that Docker and Podman both know.
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
    },
  };
}

function nameOf({ upstream, version, replica, mark }: Order): string {
  return `switchyard-${upstream}-${version}-${replica}-${mark.slice(0, 8)}`.replaceAll(/[^A-Za-z0-9_.-]/g, '-');
}

async function addressIn(engine: Engine, id: string, { spec }: Order, signal: AbortSignal): Promise<string> {
  const { NetworkSettings } = await engine.json<Inspected>('GET', `/containers/${id}/json`, { signal });
  const networks = Object.values(NetworkSettings.Networks ?? {});
  const v4 = networks.find(({ IPAddress = '' }) => IPAddress !== '')?.IPAddress;
  const v6 = networks.find(({ GlobalIPv6Address = '' }) => GlobalIPv6Address !== '')?.GlobalIPv6Address;
  if (v4 !== undefined) return `${v4}:${spec.port}`;
  if (v6 !== undefined) return `[${v6}]:${spec.port}`;
  throw new StartError(`the container has no address in network ${spec.network ?? ''}`, true);
}

async function containersOf(engine: Engine, mark: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`${LABEL}=${mark}`] });
  return (await engine.json<{ Id: string }[]>('GET', '/containers/json', { query: { all: 'true', filters } })).map(({ Id }) => Id);
}

/** 404: it is gone; 409: somebody removes it already. */
async function unlessGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof EngineError) || (error.status !== 404 && error.status !== 409)) throw error;
  }
}

async function linesOf(engine: Engine, id: string, lines: number): Promise<string[]> {
  const answer = await engine.call('GET', `/containers/${id}/logs`, { query: { stdout: 'true', stderr: 'true', tail: String(lines) } });
  const all = unframed(answer).toString().split('\n');
  if (all.at(-1) === '') all.pop();
  return all.slice(-lines);
}

/** Output of a container without a terminal comes in frames: the stream, three zeros, the length in 4 bytes, the bytes. */
function unframed(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const end = at + 8 + bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(parts);
}

function keep({ output }: Order, lines: readonly string[]): void {
  if (lines.length === 0) return;
  mkdirSync(dirname(output), { recursive: true, mode: 0o700 });
  writeFileSync(segmentPath(output, 0), `${lines.join('\n')}\n`, { mode: 0o600 });
}
