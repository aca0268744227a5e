import type { Issue } from '../errors/catalogue.ts';
import type { ErrorPages, Maintenance, Page } from '../pool/rules.ts';
import { MOST_PAGE_BYTES, readPage } from './_pages.ts';
import type { ParsedMaintenance, ParsedPage } from './_rules-schema.ts';
import { pathText } from './issues.ts';

type Path = readonly PropertyKey[];
const NO_PAGE: Page = { body: '', type: 'txt' };

/** Puts the content of files in the place of their names, and gathers what is wrong with them. */
export class PageReader {
  readonly issues: Issue[] = [];
  private readonly folder: string | null;

  /** @param folder what names are relative to; null = no files are read. */
  constructor(folder: string | null) {
    this.folder = folder;
  }

  page(parsed: ParsedPage, path: Path): Page {
    if (!('file' in parsed)) return parsed;
    const page = this.folder === null ? null : readPage(parsed.file, this.folder);
    if (page !== null && typeof page !== 'string') return page;
    const expected = page === null ? '{body, type}, because only a configuration file may name files' : `a file of at most ${MOST_PAGE_BYTES} bytes`;
    this.issues.push({ path: pathText(path), message: `expected ${expected}, got '${parsed.file}'${page === null ? '' : `, ${page}`}` });
    return NO_PAGE;
  }

  errorPages(parsed: Readonly<Record<string, ParsedPage>>, path: Path): ErrorPages {
    return Object.fromEntries(Object.entries(parsed).map(([status, page]) => [status, this.page(page, [...path, status])]));
  }

  maintenance(parsed: Exclude<ParsedMaintenance, false>, path: Path): Maintenance {
    return { ...parsed, page: parsed.page === null ? null : this.page(parsed.page, [...path, 'page']) };
  }
}
