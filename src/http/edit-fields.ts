import type { FieldChanges } from '../pool/rules.ts';
import { FOLD, bytes } from './chars.ts';
import { FIELD, fieldId } from './fields.ts';
import { fillTemplate, parseTemplate, type Template, type Words } from './template.ts';

/** The name as it is compared: lower case, `_` read as `-` (an application may take the one for the other). */
export function foldedName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

const MESSAGE: ReadonlySet<number> = new Set([
  FIELD.alias,
  FIELD.connection,
  FIELD.contentLength,
  FIELD.transferEncoding,
  FIELD.keepAlive,
  FIELD.proxyConnection,
  FIELD.te,
  FIELD.trailer,
  FIELD.upgrade,
  FIELD.http2Settings,
  FIELD.expect,
  FIELD.via,
  FIELD.forwarded,
  FIELD.traceparent,
  FIELD.tracestate,
  FIELD.maxForwards,
  FIELD.date,
]);

/** Whether rules may change the field: not what frames a message, belongs to one connection, or is the proxy's own to say. */
export function isEditable(name: string, side: 'request' | 'response'): boolean {
  const folded = foldedName(name);
  if (MESSAGE.has(fieldId(bytes(name), 0, name.length)) || folded.startsWith('x-forwarded-')) return false;
  return folded !== (side === 'request' ? 'x-request-id' : 'host');
}

/** Changes to the fields of a head, ready to be made: compiled once, with a table. */
export class FieldEdits {
  /** The Host that a backend gets; null = the client's. */
  readonly host: string | null;
  /** Folded names that go, by their length. */
  private readonly gone: readonly (readonly Uint8Array[])[];
  private readonly lines: Template;

  /** @param changes checked by config/. */
  constructor({ set, add, remove }: FieldChanges) {
    const host = Object.keys(set).find((name) => foldedName(name) === 'host');
    this.host = host === undefined ? null : set[host];
    const names = [...Object.keys(set), ...remove].map((name) => bytes(foldedName(name)));
    const gone: Uint8Array[][] = Array.from({ length: Math.max(0, ...names.map((name) => name.length)) + 1 }, () => []);
    for (const name of names) gone[name.length].push(name);
    this.gone = gone;
    const written = [...Object.entries(set).filter(([name]) => name !== host), ...Object.entries(add)];
    this.lines = written.flatMap(([name, value]) => [`${name}: `, parseTemplate(value) ?? [], '\r\n']).flat();
  }

  /** Whether a field with the name in bytes [from, to) goes: it is set or removed, or an application may take it for one that is. */
  drops(buf: Uint8Array, from: number, to: number): boolean {
    const size = to - from;
    if (size >= this.gone.length) return false;
    const names = this.gone[size];
    next: for (let n = 0; n < names.length; n++) {
      for (let i = 0; i < size; i++) if (FOLD[buf[from + i]] !== names[n][i]) continue next;
      return true;
    }
    return false;
  }

  /** The field lines that are set and added, each with CRLF. */
  written(words: Words): string {
    return fillTemplate(this.lines, words);
  }
}
