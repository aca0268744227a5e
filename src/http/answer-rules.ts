import type { FieldChanges, SecurityRule } from '../pool/rules.ts';
import { bytes, isWord } from './chars.ts';
import { FieldEdits, foldedName } from './edit-fields.ts';
import type { FieldBlock } from './fields.ts';
import type { Words } from './template.ts';

/** A field that is said where nobody else says it. */
interface Fallback {
  readonly name: Uint8Array;
  /** With CRLF. */
  readonly line: string;
  /** Not over plain http (RFC 6797 §7.2). */
  readonly secure: boolean;
}

/** What a route says about the fields of its answers, compiled: changes, and security fields where there are none. */
export class AnswerRules {
  private readonly edits: FieldEdits;
  private readonly fallbacks: readonly Fallback[];

  constructor(changes: FieldChanges, security: SecurityRule | null) {
    this.edits = new FieldEdits(changes);
    const named = new Set([...Object.keys(changes.set), ...Object.keys(changes.add), ...changes.remove].map(foldedName));
    // A field that the operator names elsewhere is as he says there.
    this.fallbacks = (security === null ? [] : securityFields(security))
      .filter(([name]) => !named.has(name.toLowerCase()))
      .map(([name, value, secure]) => ({ name: bytes(name.toLowerCase()), line: `${name}: ${value}\r\n`, secure }));
  }

  /** Whether a field of that name in bytes [from, to) goes. */
  drops(buf: Uint8Array, from: number, to: number): boolean {
    return this.edits.drops(buf, from, to);
  }

  /** The lines that come to an answer with these fields (null = none of them matters), each with CRLF. */
  written(words: Words, fields: FieldBlock | null, src: Uint8Array): string {
    let text = this.edits.written(words);
    for (const { name, line, secure } of this.fallbacks) {
      if ((!secure || words.scheme === 'https') && (fields === null || !says(fields, src, name))) text += line;
    }
    return text;
  }
}

/** The rules for the answers to one request; null = none. */
export interface AnswerTurn {
  readonly answer: AnswerRules | null;
  readonly words: Words;
}

function says({ spans, count }: FieldBlock, src: Uint8Array, name: Uint8Array): boolean {
  for (let i = 0; i < count; i++) if (isWord(src, spans[i * 4], spans[i * 4 + 1], name)) return true;
  return false;
}

function securityFields({ hsts, frame, nosniff, referrer }: SecurityRule): (readonly [string, string, boolean])[] {
  const fields: (readonly [string, string, boolean])[] = [];
  if (hsts !== null) {
    const value = `max-age=${hsts.maxAge}${hsts.includeSubDomains ? '; includeSubDomains' : ''}${hsts.preload ? '; preload' : ''}`;
    fields.push(['Strict-Transport-Security', value, true]);
  }
  if (frame !== null) fields.push(['X-Frame-Options', frame, false]);
  if (nosniff) fields.push(['X-Content-Type-Options', 'nosniff', false]);
  if (referrer !== null) fields.push(['Referrer-Policy', referrer, false]);
  return fields;
}
