import t from 'tap';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { testAdmin } from '../helpers/admin-server.ts';
import { startCli } from '../helpers/run-cli.ts';
import type { Ran } from '../helpers/run-cli.ts';

const run = (argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> => startCli(argv, env).done;

t.test('help', async (t) => {
  const help = await run(['help']);
  t.equal(help.exit, 0);
  const verbs = [
    'run',
    'check',
    'status',
    'swap',
    'rollback',
    'promote',
    'pause',
    'resume',
    'abort',
    'versions',
    'receipt',
    'explain',
    'drain',
    'wait',
    'hold',
    'unhold',
    'events',
    'help',
  ].filter((name) => !['run', 'check'].includes(name) || help.out.includes(`\n  ${name} `));
  for (const verb of verbs) {
    t.match(help.out, new RegExp(`\n  ${verb}\\b`), `${verb} is listed`);
    const own = await run(['help', verb]);
    t.match(own.out, new RegExp(`Usage: switchyard ${verb}\\b`));
    t.equal((await run([verb, '--help'])).out, own.out, `${verb} --help is help ${verb}`);
    t.ok(
      own.out.split('\n').every((line) => line.length <= 120),
      `${verb}: lines fit`,
    );
  }
  t.equal((await run(['--help'])).out, help.out);
  t.match(await run([]), { exit: 2, out: '', err: help.out });
  t.match(await run(['--version']), { exit: 0, out: /^switchyard \d+\.\d+\.\d+\n$/ });
  t.match((await run(['help', 'swap'])).out, /Usage: switchyard swap UPSTREAM --to ID \[flags\]/);
});

t.test('a command line that does not fit: exit 2 and one sentence', async (t) => {
  const cases: readonly [string[], RegExp][] = [
    [['swpa'], /there is no verb "swpa"; did you mean swap\?/],
    [['frobnicate'], /there is no verb "frobnicate"\n/],
    [['help', 'statsu'], /did you mean status\?/],
    [['swap'], /swap needs UPSTREAM\n {2}usage: switchyard swap UPSTREAM --to ID/],
    [['swap', 'web'], /swap needs --to ID/],
    [['swap', 'web', 'v2', '--to', 'v2'], /does not know what to do with "v2"/],
    [['swap', 'web', '--to'], /--to needs a value: --to ID/],
    [['swap', 'web', '--to', '--json'], /--to needs a value/],
    [['swap', 'web', '--to', 'v2', '--to', 'v3'], /--to is given twice/],
    [['swap', 'web', '--to', 'v2', '--drain-timout', '3s'], /swap has no flag --drain-timout; did you mean --drain-timeout\?/],
    [['swap', 'web', '--to', 'v2', '-x'], /swap has no flag -x/],
    [['swap', 'web', '--to', 'v2', '--json=yes'], /--json takes no value/],
    [['swap', 'web', '--to', 'v2', '--timeout', '3'], /--timeout is "3"; expected a duration such as 500ms/],
    [['swap', 'web', '--to', 'v2', '--canary', '5,x'], /--canary has the step "x"; expected whole percents from 1 to 99/],
    [['swap', 'web', '--to', 'v2', '--canary', '5:soon'], /--canary has the step "5:soon"; expected .* such as 5,25,50 or 5:10s,25:1m,50:1m/],
    [['swap', 'web', '--to', 'v2', '--canary', '0:1s'], /--canary has the step "0:1s"/],
    [['swap', 'web', '--to', 'v2', '--canary', '5,100'], /step "100"/],
    [['swap', 'web', '--to', 'v2', '--hold', '3s'], /there is no --canary/],
    [['swap', 'web', '--to', 'v2', '--until', 'gone'], /--until is "gone"; expected one of admitted, live, drained, released/],
    [['swap', 'web', '--to', 'v2', '--backend', 'h:1=x'], /weight "x"; expected a whole number/],
    [['status', '--admin', 'ftp://x'], /admin address is "ftp:\/\/x"; expected a URL such as http:\/\/127\.0\.0\.1:9900/],
    [['status', '--admin', 'http://['], /expected a URL/],
  ];
  for (const [argv, expected] of cases) {
    const { exit, out, err } = await run(argv);
    t.same([exit, out], [2, ''], argv.join(' '));
    t.match(err, expected);
    t.match(err, /^switchyard: [^\n]+\n( {2}[^\n]+\n)?$/, 'one sentence and at most one hint');
  }
});

t.test('refusals of the admin API have their exit codes', async (t) => {
  const admin = await testAdmin(t);
  const cases: readonly [string[], number, RegExp][] = [
    [['status', 'nope'], 2, /There is no upstream nope\.\n {2}see the upstreams with: switchyard status\n/],
    [['swap', 'web', '--to', 'unknown'], 2, /web has no version unknown\.\n {2}see the versions with: switchyard versions web;/],
    [['swap', 'web', '--to', 'v2', '--backend', 'nine'], 2, /backends\[0\]: expected host:port/],
    [['swap', 'web', '--to', 'busy'], 5, /Another swap of web is running, to v9\.\n {2}watch it with: switchyard status web --watch/],
    [['rollback', 'web', '--to', 'gone'], 1, /no kept version/],
    [['swap', 'web', '--to', 'broken'], 1, /The control plane failed; the data plane is not affected\./],
  ];
  for (const [argv, exit, expected] of cases) {
    const ran = await run([...argv, '--admin', admin.url]);
    t.equal(ran.exit, exit, argv.join(' '));
    t.match(ran.err, expected);
    t.equal(ran.out, '');
    const json = await run([...argv, '--admin', admin.url, '--json']);
    t.equal(json.exit, exit);
    t.match(json.json, { code: String }, 'with --json the problem is on stdout');
  }
});

t.test('tokens: by flag and by environment', async (t) => {
  const { url } = await testAdmin(t, { tokens: [{ name: 'ci', token: 'secret', scope: 'read' }] });
  t.match(await run(['status', '--admin', url]), { exit: 2, err: /A valid token is needed.*\n {2}give a token with --token or SWITCHYARD_ADMIN_TOKEN\n/ });
  t.equal((await run(['status', '--admin', url, '--token', 'secret'])).exit, 0);
  t.equal((await run(['status'], { SWITCHYARD_ADMIN_URL: url, SWITCHYARD_ADMIN_TOKEN: 'secret' })).exit, 0);
  t.match(await run(['hold', 'web', '--admin', url, '--token', 'secret']), { exit: 2, err: /may only read/ });
  t.equal((await run(['events', '--admin', url])).exit, 2);
});

t.test('who asks is told to the admin API', async (t) => {
  const { url, operations } = await testAdmin(t);
  await run(['hold', 'web', '--admin', url], { USER: 'alice' });
  t.same(operations.calls.at(-1)?.args, [true, 'admin@127.0.0.1/alice']);
});

t.test('--admin takes a host and port, and a URL with a path', async (t) => {
  const { port } = await testAdmin(t);
  t.equal((await run(['status', '--admin', `127.0.0.1:${port}`])).exit, 0);
  t.equal((await run(['status', '--admin', `localhost:${port}/`])).exit, 0);
  t.match(await run(['status', '--admin', `http://127.0.0.1:${port}/below`]), { exit: 2, err: /nothing at \/below\/v1\/upstreams/ });
});

t.test('an admin API that is not there, or is none: exit 6', async (t) => {
  const admin = await testAdmin(t);
  await admin.close();
  const gone = await run(['status', '--admin', admin.url]);
  t.match(gone, { exit: 6, out: '', err: /cannot be reached: nothing listens there\n {2}is the proxy running\?/ });
  const stranger = createServer((request, response) => {
    response.statusCode = request.url === '/v1/upstreams' ? 200 : 404;
    response.end('<html>');
  });
  stranger.listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  t.teardown(() => stranger.close());
  const url = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
  t.match(await run(['status', '--admin', url]), { exit: 6, err: /answered 200, but it is not a Switchyard admin API/ });
  t.match(await run(['events', '--admin', url]), { exit: 6, err: /answered 404/ });
});

async function spawned(argv: readonly string[], signal?: NodeJS.Signals): Promise<{ exit: number | null; out: string; err: string }> {
  const main = new URL('../../src/cli/main.ts', import.meta.url).href;
  const script = `import { processIo, runCli } from '${main}'; process.exitCode = await runCli(process.argv.slice(1), processIo());`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
    if (signal !== undefined) child.kill(signal);
  });
  child.stderr.on('data', (chunk) => void (err += chunk));
  const [exit] = (await once(child, 'close')) as [number | null];
  return { exit, out, err };
}

t.test('as a process: it ends with its exit code, without colours in a pipe, and on Ctrl-C', async (t) => {
  const admin = await testAdmin(t);
  const status = await spawned(['status', '--admin', admin.url]);
  t.match(status, { exit: 0, err: '' });
  t.notMatch(status.out, /\x1b/);
  const swap = await spawned(['swap', 'web', '--to', 'v2', '--admin', admin.url], 'SIGINT');
  t.match(swap, { exit: 4, err: /interrupted; the swap of web to v2 goes on/ });
  await admin.close();
  t.equal((await spawned(['status', '--admin', admin.url])).exit, 6);
});
