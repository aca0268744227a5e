/** `npm run check`: types, lint, format, dead code. Runs them all, names each that fails, exits 1 when one did. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const checks: readonly { readonly name: string; readonly tool: string; readonly args: readonly string[] }[] = [
  { name: 'types', tool: 'tsc', args: ['-p', '.'] },
  { name: 'lint', tool: 'oxlint', args: ['--type-aware', '--deny-warnings'] },
  { name: 'format', tool: 'oxfmt', args: ['--check'] },
  { name: 'dead code', tool: 'knip', args: [] },
];

const failed: string[] = [];
for (const { name, tool, args } of checks) {
  const began = performance.now();
  const run = spawnSync(`${root}node_modules/.bin/${tool}`, args, { cwd: root, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
  const ok = run.status === 0;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${tool})  ${Math.round(performance.now() - began)} ms`);
  if (ok) continue;
  failed.push(name);
  console.log(`${run.stdout}${run.stderr}${run.error ? String(run.error) : ''}`.trimEnd());
}
if (failed.length > 0) console.log(`check failed: ${failed.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
