import type { ReservedFields } from './client-identity.ts';
import { FIELD } from './fields.ts';
import type { FieldBlock } from './fields.ts';
import type { HeadWriter } from './writer.ts';

/** Names that may not come as trailers, with `-` or `_`, besides those the proxy knows (RFC 9110 §6.5.1): framing, routing, authentication, controls. */
const FORBIDDEN =
  /^(?:authorization|proxy-.*|www-authenticate|set-cookie|content-(?:encoding|type|range|length)|range|if-.*|cache-control|age|expires|location|retry-after|vary|warning|pragma|x-forwarded-.*)$/i;

/** Rules of a route that fields must not come past as trailers. */
export interface TrailerRules {
  drops(buf: Uint8Array, from: number, to: number): boolean;
}

/**
 * Writes the last chunk with the trailers that may pass: no field that frames, routes, authenticates or forwards, that `rules` set or
 * remove, or that only the proxy says.
 */
export function writeTrailers(
  out: HeadWriter,
  trailers: FieldBlock,
  src: Buffer,
  rules: TrailerRules | null = null,
  reserved: ReservedFields | null = null,
): void {
  out.text('0\r\n');
  for (let i = 0; i < trailers.count; i++) {
    if (trailers.ids[i] !== FIELD.other) continue;
    const from = trailers.spans[i * 4];
    const nameEnd = trailers.spans[i * 4 + 1];
    if (FORBIDDEN.test(src.toString('latin1', from, nameEnd).replaceAll('_', '-')) || rules?.drops(src, from, nameEnd) === true) continue;
    if (reserved?.has(src, from, nameEnd) === true) continue;
    out.copy(src, from, trailers.lineEnd(i));
  }
  out.text('\r\n');
}
