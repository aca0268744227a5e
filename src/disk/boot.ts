import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from './whole.ts';

/** In which boot of the machine a state folder was used last. Where the system does not tell its boots apart no restart of the machine is seen. */
export class BootMark {
  /** The machine was started again since `remember` was called last: nothing that ran then runs now, unless somebody has started it. */
  readonly isAnother: boolean;
  private readonly path: string;
  private readonly boot: string | null;

  constructor(stateDir: string) {
    this.path = join(stateDir, 'boot');
    this.boot = read('/proc/sys/kernel/random/boot_id');
    const last = read(this.path);
    this.isAnother = this.boot !== null && last !== null && last !== this.boot;
  }

  /** Once what follows from it is on disk. */
  remember(): void {
    if (this.boot !== null && read(this.path) !== this.boot) writeWhole(this.path, this.boot);
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
