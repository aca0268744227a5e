import { FIELD, fieldId } from '../http/fields.ts';
import type { RequestHead } from '../http/request-head.ts';

/** Value of a cookie of the request; '' = it has none of that name. */
export function cookieValue(head: RequestHead, buf: Buffer, name: string): string {
  for (let i = 0; i < head.fields.count; i++) {
    if (head.fields.ids[i] !== FIELD.cookie) continue;
    for (const pair of head.fields.value(buf, i).split(';')) {
      const at = pair.indexOf('=');
      if (at !== -1 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
    }
  }
  return '';
}

/** Value of the first field of this name (in lower case); null = there is none. */
export function headerValue(head: RequestHead, buf: Buffer, name: string): string | null {
  const { fields } = head;
  const id = fieldId(Buffer.from(name, 'latin1'), 0, name.length);
  for (let i = 0; i < fields.count; i++) {
    if (fields.ids[i] !== id) continue;
    const from = fields.spans[i * 4];
    const to = fields.spans[i * 4 + 1];
    if (to - from === name.length && buf.toString('latin1', from, to).toLowerCase() === name) return fields.value(buf, i);
  }
  return null;
}
