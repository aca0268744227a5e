/** What the placeholders of a header value stand for, in one request. */
export interface Words {
  /** Address of the client. */
  readonly client: string;
  /** Host of the request without the port, as the client wrote it. */
  readonly host: string;
  readonly scheme: string;
  readonly requestId: string;
}

/** Literal texts and the words between them. */
export type Template = readonly (string | { readonly word: keyof Words })[];

const WORDS: Readonly<Record<string, keyof Words>> = { client: 'client', host: 'host', scheme: 'scheme', request_id: 'requestId' };

/**
 * Reads a text with the placeholders `{client}`, `{host}`, `{scheme}` and `{request_id}`; `{{` is a brace.
 * @returns null when a brace is anything else.
 */
export function parseTemplate(text: string): Template | null {
  const parts: (string | { word: keyof Words })[] = [];
  let literal = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '{') {
      literal += text[at];
      continue;
    }
    if (text[at + 1] === '{') {
      literal += '{';
      at++;
      continue;
    }
    const end = text.indexOf('}', at);
    const name = end === -1 ? '' : text.slice(at + 1, end);
    if (!Object.hasOwn(WORDS, name)) return null;
    parts.push(literal, { word: WORDS[name] });
    literal = '';
    at = end;
  }
  return [...parts, literal].filter((part) => part !== '');
}

export function fillTemplate(template: Template, words: Words): string {
  let text = '';
  for (const part of template) text += typeof part === 'string' ? part : words[part.word];
  return text;
}
