/** Reading of certificates and keys, from files or from the configuration itself. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Issue } from '../errors/catalogue.ts';
import { pathText, showValue } from './issues.ts';

type Path = readonly PropertyKey[];

const MOST_BYTES = 4 * 2 ** 20;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** A key or certificate whose first and last line were forgotten. */
const BARE_PEM = /^[A-Za-z0-9+/=\s]{60,}$/;

/** A key must not come into the log because it was taken for the name of a file. */
function shownName(value: string): string {
  return BARE_PEM.test(value) ? 'text without a BEGIN line' : showValue(value);
}

/** Name of a file, or PEM itself. */
export const pemField = z.custom<string>((value) => typeof value === 'string' && value !== '' && value.length <= MOST_BYTES && !value.includes('\0'), {
  error: 'the name of a file, or PEM text',
});

/** Text and how a message names it. */
interface Text {
  readonly text: string;
  /** As the configuration names it; null = inline. */
  readonly file: string | null;
  readonly shown: string;
}

export interface CertificateText extends Text {
  /** At least one. */
  readonly all: readonly X509Certificate[];
  /** All of them as PEM, without what else the file may hold (a key, as some bundles do). */
  readonly pem: string;
}

interface KeyText extends Text {
  readonly key: KeyObject;
}

/** Reads PEM, and gathers what is wrong with it. */
export class PemReader {
  readonly issues: Issue[] = [];
  protected readonly folder: string | null;

  /** @param folder what names are relative to; null = no files are read. */
  constructor(folder: string | null) {
    this.folder = folder;
  }

  protected fail(path: Path, message: string): null {
    this.issues.push({ path: pathText(path), message });
    return null;
  }

  private text(value: string, path: Path, expected: string): Text | null {
    if (value.includes('-----BEGIN')) return { text: value, file: null, shown: 'text' };
    if (this.folder === null) return this.fail(path, `expected PEM text, because only a configuration file may name files, got ${shownName(value)}`);
    const shown = shownName(value);
    try {
      const file = resolve(this.folder, value);
      const found = statSync(file);
      if (!found.isFile()) return this.fail(path, `expected ${expected}, got ${shown}, which is not a file`);
      if (found.size > MOST_BYTES) return this.fail(path, `expected ${expected} of at most ${MOST_BYTES} bytes, got ${shown}, which has ${found.size}`);
      return { text: readFileSync(file, 'latin1'), file: value, shown };
    } catch (error) {
      const { code = 'failed' } = error as NodeJS.ErrnoException;
      return this.fail(path, `expected ${expected}, got ${shown}, which ${code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`}`);
    }
  }

  protected certificates(value: string, path: Path): CertificateText | null {
    const expected = 'a file of certificates (PEM)';
    const found = this.text(value, path, expected);
    if (found === null) return null;
    try {
      const all = [...found.text.matchAll(BLOCK)].filter(([, kind]) => kind.endsWith('CERTIFICATE')).map(([block]) => new X509Certificate(block));
      if (all.length === 0) return this.fail(path, `expected ${expected}, got ${found.shown}, which holds none`);
      return { ...found, all, pem: all.map((each) => each.toString()).join('') };
    } catch {
      return this.fail(path, `expected ${expected}, got ${found.shown}, in which one is damaged`);
    }
  }

  protected key(value: string, path: Path): KeyText | null {
    const expected = 'a file with a private key without a passphrase (PEM)';
    const found = this.text(value, path, expected);
    if (found === null) return null;
    try {
      return { ...found, key: createPrivateKey(found.text) };
    } catch {
      return this.fail(path, `expected ${expected}, got ${found.shown}, which is none`);
    }
  }
}
