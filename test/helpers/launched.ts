import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Proxy } from './proxy.ts';
import type { ProxyConfig } from './proxy.ts';
import { portRange } from './ports.ts';
import { killPid } from './process.ts';
import type { Teardown } from './temp.ts';

/** A service that does what its environment says. It listens on PORT and answers with its version, replica and process. */
const SERVICE = `
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
const { PORT, SICK, BOOM, STUBBORN, CHILD, FLOOD, SWITCHYARD_VERSION: version, SWITCHYARD_REPLICA: replica } = process.env;
console.log('version', version, 'replica', replica);
if (BOOM) { console.error('Error: boom'); process.exit(7); }
if (STUBBORN) process.on('SIGTERM', () => console.log('not now'));
// One in the group, one that has left it.
if (CHILD) for (const detached of [false, true]) spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached, stdio: 'ignore' });
if (FLOOD) for (let i = 0; i < 60000; i++) process.stdout.write(String(i).padStart(100, '.') + '\\n');
createServer((request, response) => {
  if (request.url === '/healthz') return response.writeHead(SICK ? 500 : 200).end();
  if (request.url === '/die') process.exit(9);
  if (request.url === '/slow') return setTimeout(() => response.end('late'), 4000);
  response.writeHead(200, { 'x-version': version, 'x-pid': String(process.pid) }).end(version);
}).listen(Number(PORT), '127.0.0.1');
`;

/** Enough for two versions at a time, some replicas each. */
const PORTS = 20;

export const COMMAND = [process.execPath, 'service.mjs'];

/** Processes that carry the mark of a launch whose record is, or was, in this state folder; told apart by it in their environment. */
export function launchedBy(proxy: Proxy): { pid: number; version: string; port: string }[] {
  const url = `SWITCHYARD_ADMIN_URL=${proxy.adminUrl}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      let env: string[];
      try {
        if (/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${name}/stat`, 'utf8'))) return [];
        env = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      } catch {
        return [];
      }
      if (!env.includes(url) || !env.some((each) => each.startsWith('SWITCHYARD_LAUNCH='))) return [];
      const value = (key: string): string => env.find((each) => each.startsWith(`${key}=`))?.slice(key.length + 1) ?? '';
      return [{ pid: Number(name), version: value('SWITCHYARD_VERSION'), port: value('PORT') }];
    });
}

/** A proxy with an upstream `web` that launches the service; whatever it has launched ends with the test. */
export async function startLaunching(t: Teardown, web: Record<string, unknown> = {}, config: Partial<ProxyConfig> = {}): Promise<Proxy> {
  const first = await portRange(PORTS);
  const proxy = await Proxy.start(
    t,
    {
      launch: { ports: `${first}-${first + PORTS - 1}` },
      upstreams: {
        web: { routes: [{}], health: { interval: '100ms', admitInterval: '30ms' }, launch: { command: COMMAND }, ...web },
      },
      ...config,
    },
    { unready: true },
  );
  t.teardown(async () => {
    await proxy.kill();
    for (const { pid } of launchedBy(proxy)) killPid(pid);
  });
  await writeFile(join(proxy.dir, 'service.mjs'), SERVICE);
  await proxy.ready();
  return proxy;
}

/** Starts it again over the same state, and waits until it is ready. */
export async function restart(proxy: Proxy): Promise<void> {
  await proxy.restart();
  await proxy.ready();
}
