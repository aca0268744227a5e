import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../disk/whole.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { SavedSchema } from './_saved.ts';
import type { Saved } from './_saved.ts';

/** Where it is kept who the members of an upstream are: one file each, `stateDir/members/<upstream>.json`. */
export class MemberStore {
  private readonly file: string;

  constructor(stateDir: string, upstream: string) {
    this.file = join(stateDir, 'members', `${encodeURIComponent(upstream)}.json`);
  }

  /** @throws Refusal when the file is damaged; it names it. */
  load(): Saved | null {
    let text: string;
    try {
      text = readFileSync(this.file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      return SavedSchema.parse(JSON.parse(text));
    } catch {
      throw new Refusal(REFUSAL.invalid, `${this.file} is damaged. Restore it; or move it away once every worker of this upstream has ended.`);
    }
  }

  /** On disk when this returns; at any instant the old file or the new one is there, whole. */
  save(saved: Saved): void {
    writeWhole(this.file, JSON.stringify(saved));
  }

  remove(): void {
    rmSync(this.file, { force: true });
  }
}
