import t from 'tap';
import { execFile } from 'node:child_process';
import { writeFile, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testAdmin } from '../helpers/admin-server.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually, undisturbed } from '../helpers/wait.ts';

async function offered(line: string, admin?: string): Promise<string[]> {
  const words = line.split(' ');
  const word = words.pop() ?? '';
  const env: Record<string, string> = admin === undefined ? { SWITCHYARD_ADMIN_URL: 'http://127.0.0.1:1' } : { SWITCHYARD_ADMIN_URL: admin };
  const { out, err, exit } = await startCli(['__complete', word, ...words], env).done;
  t.same([err, exit], ['', 0]);
  return out.split('\n').filter((text) => text !== '');
}

t.test('what may come next', async (t) => {
  const { url } = await testAdmin(t);
  const cases: readonly [string, readonly string[]][] = [
    ['sw', ['swap']],
    ['pro', ['promote']],
    ['swap ', ['web']],
    ['swap x', []],
    ['swap web --roll', ['--rollback-keep']],
    ['swap web --to ', ['v1']],
    ['swap web --to v1 --until ', ['admitted', 'live', 'drained', 'released']],
    ['swap web --to v1 --t', ['--tunnel-timeout', '--timeout', '--token'].toSorted()],
    ['wait web ', ['v1']],
    ['wait web v1 --for li', ['live']],
    ['wait web v1 x', []],
    ['run --config ', [':files']],
    ['run --state-dir ', [':files']],
    ['help recei', ['receipt']],
    ['completion ', ['bash', 'zsh', 'fish']],
    ['nonsense ', []],
    ['swap nope --to ', []],
  ];
  for (const [line, expected] of cases) {
    const sorted = line.includes(' --t') && !line.endsWith(' ');
    // A shell waits for a second and no longer.
    const found = await undisturbed(
      200,
      async () => (sorted ? (await offered(line, url)).toSorted() : offered(line, url)),
      (words) => words.join() === expected.join(),
    );
    t.same(found, expected, line);
  }
  const own = await undisturbed(
    200,
    () => offered(`swap --admin ${url} `),
    (words) => words.length > 0,
  );
  t.same(own, ['web'], 'the admin API of the line itself is asked');
  t.same(await offered('swap web --to '), [], 'without an admin API there are no names, and no error');
  t.match(await startCli(['completion', 'tcsh']).done, { exit: 2, err: /there is no completion for "tcsh"; expected bash, zsh, fish/ });
});

t.test('in a real bash', async (t) => {
  const { url } = await testAdmin(t);
  const dir = await tempDir(t);
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  await writeFile(join(dir, 'switchyard'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  await chmod(join(dir, 'switchyard'), 0o755);
  const script = (await startCli(['completion', 'bash']).done).out;
  await writeFile(join(dir, 'complete.bash'), script);
  const complete = async (words: readonly string[]): Promise<string[]> => {
    const ask = `source "${dir}/complete.bash"; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _switchyard; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', ask], {
      cwd: dir,
      env: { ...process.env, PATH: `${dir}:${process.env.PATH}`, SWITCHYARD_ADMIN_URL: url },
    });
    return stdout.split('\n').filter((text) => text !== '');
  };
  t.same(await complete(['switchyard', 'stat']), ['status']);
  // On a busy machine the admin API may not be heard in the second that it has: then somebody presses the key again.
  const names = await eventually('names of upstreams', async () => {
    const found = await complete(['switchyard', 'swap', '']);
    return found.length > 0 ? found : null;
  });
  t.same(names, ['web']);
  t.same(await complete(['switchyard', 'swap', 'web', '--dry']), ['--dry-run']);
  t.same(await complete(['switchyard', 'check', '--config', 'compl']), ['complete.bash'], 'names of files');
});
