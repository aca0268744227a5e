import t from 'tap';
import { readFileSync, writeFileSync } from 'node:fs';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { eventually, sleep } from '../helpers/wait.ts';

/** User and system time of a process, in clock ticks (10 ms). */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

t.test('nobody reads what the proxy prints: it serves on, and does not spin', async (t) => {
  const backend = await RawUpstream.start(t, answer('here'));
  const proxy = await Proxy.start(t, { upstreams: { web: catchAll({ v1: [backend.address] }, 'v1') } });
  const { child, pid } = proxy.process;
  child.stdout?.destroy();
  child.stderr?.destroy();
  // Something to tell: a configuration that is not valid.
  writeFileSync(proxy.configFile, '{');
  child.kill('SIGHUP');
  await sleep(400);
  // What it has begun with may take a while on a slow machine; who spins never rests.
  await eventually('less than half of the time', async () => {
    const before = ticks(pid);
    await sleep(600);
    return ticks(pid) - before < 30;
  });
  t.equal((await proxy.send()).status, 200);
  t.match(await proxy.stop(), { code: 0, signal: null });
});
