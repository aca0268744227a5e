/** Character classes of RFC 9110 §5.6.2 and RFC 9112 §3, one byte an entry, for scans without branches on ranges. */
function table(accept: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (accept(code) ? 1 : 0));
}

function isAlnum(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

/** `tchar`: what methods and field names are made of. */
export const TOKEN = table((code) => isAlnum(code) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(code)));

/** Field names as HTTP/2 has them (RFC 9113 §8.2.1). */
export const LOWER_TOKEN = table((code) => TOKEN[code] === 1 && !(code >= 0x41 && code <= 0x5a));

/** Field values: visible characters, space, tab and obs-text; no other control byte, CR and LF included (RFC 9110 §5.5). */
export const VALUE = table((code) => code === 0x09 || (code >= 0x20 && code !== 0x7f));

/**
 * Request targets: visible ASCII without `#`. Wider than RFC 3986 by the characters that browsers
 * send unescaped in queries (`"<>\^{|}` and the back-tick); all of them are a single byte of no meaning to HTTP.
 */
export const TARGET = table((code) => code > 0x20 && code < 0x7f && code !== 0x23);

/** Host names: unreserved characters of RFC 3986, sub-delims without the comma, and percent escapes; brackets are handled apart. */
export const HOST = table((code) => isAlnum(code) || "-._~%!$&'()*+;=".includes(String.fromCharCode(code)));

export const DIGIT = table((code) => code >= 0x30 && code <= 0x39);

/** Value of a hex digit, 255 for any other byte. */
export const HEX = Uint8Array.from({ length: 256 }, (_, code) => {
  const at = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase());
  return at === -1 ? 255 : at;
});

/** ASCII lower case, and `_` read as `-`: many applications cannot tell the two apart in a field name. */
export const FOLD = Uint8Array.from({ length: 256 }, (_, code) => {
  if (code >= 0x41 && code <= 0x5a) return code | 0x20;
  return code === 0x5f ? 0x2d : code;
});

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const HTAB = 0x09;
export const COLON = 0x3a;
export const COMMA = 0x2c;
export const SLASH = 0x2f;

/** Whether bytes [from, to) are `word` (lower case ASCII), in any case. */
export function isWord(buf: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) {
    const code = buf[from + i];
    if ((code >= 0x41 && code <= 0x5a ? code | 0x20 : code) !== word[i]) return false;
  }
  return true;
}

/** Whether bytes [from, to) are `word`, letter case and all. */
export function isExactly(buf: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (buf[from + i] !== word[i]) return false;
  return true;
}

/** Bytes of an ASCII text, for comparisons. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
