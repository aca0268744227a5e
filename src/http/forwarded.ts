import { isIpv4, plainIp } from './ip.ts';

/** One element of a Forwarded field (RFC 7239 §4): what one proxy says of the hop before it. */
export interface ForwardedElement {
  /** The address in `for`, without a port; `unknown` for an identifier that hides it, and where there is none. */
  readonly node: string;
  /** Lower case; '' = not said. */
  readonly proto: string;
  /** '' = not said. */
  readonly host: string;
}

export const UNKNOWN = 'unknown';

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[\\t !#-\\[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
/** A parameter with what ends it: `;` and the next one, `,` and the next element, or the end. */
const PAIR = new RegExp(`(${TOKEN})=(${TOKEN}|${QUOTED})([ \\t]*(?:[;,]|$))[ \\t]*`, 'y');
const EMPTY = /[ \t]*,[ \t]*/y;
/** An identifier that hides an address, with or without a port (RFC 7239 §6). */
const HIDDEN = /^(?:unknown|_[A-Za-z0-9._-]+)(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?$/i;

/**
 * Reads one Forwarded field line strictly.
 * @returns its elements in their order; null when it is malformed, an address in `for` included.
 */
export function readForwarded(line: string): ForwardedElement[] | null {
  const elements: ForwardedElement[] = [];
  let element = new Map<string, string>();
  let at = 0;
  while (at < line.length) {
    EMPTY.lastIndex = at;
    if (element.size === 0 && EMPTY.test(line)) {
      at = EMPTY.lastIndex;
      continue;
    }
    PAIR.lastIndex = at;
    const match = PAIR.exec(line);
    if (match === null) return null;
    const [, name, value, end] = match;
    const key = name.toLowerCase();
    // Each parameter once in an element (RFC 7239 §4).
    if (element.has(key)) return null;
    element.set(key, value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : value);
    at = PAIR.lastIndex;
    // A `;` is followed by another parameter.
    if (end.endsWith(';')) {
      if (at === line.length) return null;
      continue;
    }
    const found = elementOf(element);
    if (found === null) return null;
    elements.push(found);
    element = new Map();
  }
  return elements;
}

function elementOf(parameters: ReadonlyMap<string, string>): ForwardedElement | null {
  const said = parameters.get('for');
  const node = said === undefined || HIDDEN.test(said) ? UNKNOWN : nodeAddress(said, true);
  return node === null ? null : { node, proto: (parameters.get('proto') ?? '').toLowerCase(), host: parameters.get('host') ?? '' };
}

/**
 * The address of a node as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, and, unless
 * `bracketed`, `2001:db8::1`.
 * @returns the one text of the address (`plainIp`), or null.
 */
export function nodeAddress(text: string, bracketed: boolean): string | null {
  if (isIpv4(text)) return text;
  const match = /^(?:([\d.]+)|\[([\da-f:.]+)\])(?::(?:\d{1,5}|_[\w.-]+))?$/i.exec(text);
  if (match !== null) return match[1] === undefined && !match[2].includes(':') ? null : plainIp(match[1] ?? match[2]);
  return bracketed ? null : plainIp(text);
}

/** A node as `for` writes it. */
export function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address;
}
