import type { ErrorPages, Page, PageType } from '../pool/rules.ts';

/** Media types of pages. */
export const MEDIA_TYPE: Readonly<Record<PageType, string>> = {
  html: 'text/html; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json; charset=utf-8',
};

/** What the placeholders of a page stand for. */
export interface PageWords {
  readonly status: string;
  readonly reason: string;
  readonly code: string;
  readonly request_id: string;
}

/** A page of the operator, ready to be filled in. */
export class CompiledPage {
  readonly type: PageType;
  /** Texts at even places, names of words at odd ones. */
  private readonly parts: readonly string[];

  constructor({ body, type }: Page) {
    this.type = type;
    this.parts = body.split(/\{(status|reason|code|request_id)\}/);
  }

  render(words: PageWords): Buffer {
    const escape = ESCAPES[this.type];
    return Buffer.from(this.parts.map((part, i) => (i % 2 === 0 ? part : escape(words[part as keyof PageWords]))).join(''));
  }
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const ESCAPES: Readonly<Record<PageType, (text: string) => string>> = {
  html: (text) => text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char]),
  json: (text) => JSON.stringify(text).slice(1, -1),
  txt: (text) => text,
};

/** Error pages by status and class. */
export class PageSet {
  private readonly pages: ReadonlyMap<string, CompiledPage>;

  constructor(pages: ErrorPages) {
    this.pages = new Map(Object.entries(pages).map(([status, page]) => [status, new CompiledPage(page)]));
  }

  /** The page for an answer of the proxy with this status; null = none. */
  find(status: number): CompiledPage | null {
    return this.pages.get(`${status}`) ?? this.pages.get(`${Math.floor(status / 100)}xx`) ?? null;
  }
}
