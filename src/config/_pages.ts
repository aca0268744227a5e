/** Pages of the operator: their names and how they are read. */
import { readFileSync, statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { z } from 'zod';
import type { Page, PageType } from '../pool/rules.ts';

export const MOST_PAGE_BYTES = 65_536;

const TYPES: Readonly<Record<string, PageType>> = { '.html': 'html', '.txt': 'txt', '.json': 'json' };

/** Name of a file whose kind is known by its end. */
export const pageName = z.custom<string>((value) => typeof value === 'string' && !value.includes('\0') && Object.hasOwn(TYPES, extname(value)), {
  error: 'the name of a file that ends in .html, .txt or .json',
});

/**
 * Reads a page.
 * @param file relative to `folder`, with a name that `pageName` accepts
 * @returns the page, or what is wrong with the file in a few words
 */
export function readPage(file: string, folder: string): Page | string {
  const path = resolve(folder, file);
  try {
    const { size, isFile } = statOf(path);
    if (!isFile) return 'which is not a file';
    if (size > MOST_PAGE_BYTES) return `which has ${size}`;
    return { body: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)), type: TYPES[extname(file)] };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'which is not there';
    return error instanceof TypeError ? 'which is not UTF-8' : `which cannot be read (${(error as Error).message})`;
  }
}

function statOf(path: string): { size: number; isFile: boolean } {
  const found = statSync(path);
  return { size: found.size, isFile: found.isFile() };
}
