import { execFile } from 'node:child_process';
import { copyFile, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { childEnv, ROOT } from './process.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';

const run = promisify(execFile);

/**
 * A folder of a project that has installed this package as it is published, beside these packages of ours.
 * @returns the folder.
 */
export async function projectWithPackage(t: Teardown, ...packages: readonly string[]): Promise<string> {
  const folder = await tempDir(t, 'switchyard-project');
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, 'switchyard'), { recursive: true });
  await copyFile(join(ROOT, 'package.json'), join(modules, 'switchyard', 'package.json'));
  const tsc = join(ROOT, 'node_modules', 'typescript', 'lib', 'tsc.js');
  await run(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(modules, 'switchyard', 'dist')], { cwd: ROOT, env: childEnv() });
  // Their own dependencies are found from where they really are.
  for (const name of packages) await symlink(join(ROOT, 'node_modules', name), join(modules, name), 'dir');
  return folder;
}
