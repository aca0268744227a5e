import { METHODS } from 'node:http';

/** A class of messages that we read and a peer does not, or the other way round, and why that is right. */
export interface Difference {
  readonly peer: 'node:http' | 'nginx' | 'haproxy';
  /** `ours` = only we go on with it; `other` = both do, and read it differently; else the code with which we refuse what the peer goes on with. */
  readonly side: string;
  /** Of `ours` and `other`: the bytes from the start of the message on. */
  readonly when?: (text: string) => boolean;
  readonly reason: string;
}

/** With these versions the list was made: with others, what is listed need not occur. Node's is the one we run on. */
export const MEASURED = { nginx: 'nginx/1.22.', haproxy: 'version 2.6.' } as const;

const head = (text: string): string => text.slice(0, text.indexOf('\r\n\r\n') + 2);
const method = (text: string): string => /^(?:\r\n)*([^ ]*)/.exec(text)![1];
const target = (text: string): string => /^(?:\r\n)*[^ ]* ([^ ]*)/.exec(text)![1];

/** What only we accept: never for a reason of framing or syntax that is ours to get right. */
const OURS: readonly Difference[] = [
  {
    peer: 'node:http',
    side: 'ours',
    when: (text) => !METHODS.includes(method(text)),
    reason: 'a method that is not in its list; any token is one (RFC 9110 §9.1)',
  },
  {
    peer: 'node:http',
    side: 'ours',
    when: (text) => /\r\n0\r\n(?:content-length|transfer-encoding):/i.test(text),
    reason: 'a framing field as a trailer: it refuses the message, we leave the trailer out (RFC 9110 §6.5.1)',
  },
  { peer: 'nginx', side: 'ours', when: (text) => /:[ ]*\t/.test(head(text)), reason: 'a tab before a value; white space it is (RFC 9110 §5.6.3)' },
  { peer: 'nginx', side: 'ours', when: (text) => /[^A-Z_-]/.test(method(text)), reason: 'a method of other letters than A to Z; methods are tokens' },
  { peer: 'nginx', side: 'ours', when: (text) => method(text) === 'TRACE', reason: 'TRACE; we answer 405 too, behind the codec' },
  { peer: 'nginx', side: 'ours', when: (text) => target(text) === '*', reason: 'OPTIONS *; it has no path for its locations' },
  {
    peer: 'nginx',
    side: 'ours',
    when: (text) => /^\/.*(?:%(?![0-9a-f]{2})|%00|\.\.)/i.test(target(text)),
    reason: 'a path with a broken escape, %00, or that climbs above the root: it decodes each path. We do where routes depend on it, and refuse it there',
  },
  {
    peer: 'nginx',
    side: 'ours',
    when: (text) => /\r\nif-match:.*\r\nif-match:/i.test(head(text)),
    reason: 'two If-Match lines; the field is a list (RFC 9110 §5.3)',
  },
  {
    peer: 'nginx',
    side: 'ours',
    when: (text) => /\r\nhost:.*\.\./i.test(head(text)),
    reason: 'an empty label in Host; no DNS name, and yet a host (RFC 3986 §3.2.2)',
  },
  {
    peer: 'nginx',
    side: 'other',
    when: (text) => /^OPTIONS https?:\/\/[^/?]* /i.test(text),
    reason: 'OPTIONS of a whole server goes on as / and not as * (RFC 9112 §3.2.4)',
  },
  {
    peer: 'haproxy',
    side: 'ours',
    when: (text) => /\r\nupgrade: *websocket/i.test(head(text)),
    reason: 'half a WebSocket handshake; the backend refuses it, and only a 101 makes a tunnel',
  },
  {
    peer: 'haproxy',
    side: 'ours',
    when: (text) => /^(?:GET|HEAD|DELETE) [^ ]* HTTP\/1\.0\r\n/.test(text) && /\r\ncontent-length:/i.test(head(text)),
    reason: 'HTTP/1.0 with a body of a GET; we frame it upstream as what it is',
  },
  {
    peer: 'haproxy',
    side: 'ours',
    when: (text) => /^https?:\/\//i.test(target(text)),
    reason: 'an absolute target whose authority is not what Host says; it replaces Host (RFC 9112 §3.2.2)',
  },
  { peer: 'haproxy', side: 'ours', when: (text) => /\r\n[^:\r]{256,}:/.test(head(text)), reason: 'a very long field name; we bound the head' },
  { peer: 'haproxy', side: 'ours', when: (text) => method(text) === 'PRI', reason: 'PRI as a method, with a target that is not *' },
];

const refused = (peer: Difference['peer'], reasons: Readonly<Record<string, string>>): Difference[] =>
  Object.entries(reasons).map(([side, reason]) => ({ peer, side, reason }));

/** What only the peer accepts. */
const THEIRS: readonly Difference[] = [
  ...refused('node:http', {
    'bad-host': 'Host is not looked into: userinfo, paths, lists, nothing at all',
    'bad-target': 'fragments, * with GET, userinfo, empty hosts, and other schemes pass; so do several spaces',
    'bad-method': 'any number of empty lines, and bare LF, before a request',
    'bad-chunk': 'sizes of any number of digits, extensions without a name or a value',
    'bad-field': 'a Connection that is no list of tokens',
    'bad-framing': 'Transfer-Encoding in HTTP/1.0',
    'not-implemented': 'other codings before chunked: for the application to decode; we do not forward what we cannot decode',
    'expectation-failed': 'what has 100-continue somewhere in it is taken for it',
    'head-too-large': 'more than 100 fields: our limit',
    malformed: 'a bare CR before the request, several spaces, other protocols that it knows',
    version: 'HTTP/2.0 and HTTP/0.9 in a request line',
  }),
  ...refused('nginx', {
    'bad-host': 'Host is looked into for little more than slashes',
    'bad-target': 'several spaces; HTTP/0.9; any scheme',
    'bad-method': 'empty lines before a request, ended by LF alone',
    'not-implemented': 'methods of any length',
    'bad-chunk': 'a bare LF ends chunk lines and trailers; extensions of any form',
    'bad-field': 'a bare LF ends a line; fields that are not valid are left out, which hides them from us both',
    'expectation-failed': 'expectations that it does not know are passed over',
    'head-too-large': 'more than 100 fields: our limit',
    malformed: 'a bare LF ends the request line; trailing spaces, a bare CR before it',
    version: 'any minor version from 1 on is taken for 1.1',
  }),
  ...refused('haproxy', {
    'bad-host': 'Host may be missing, and is not looked into much',
    'bad-target': 'several spaces',
    'bad-method': 'empty lines before a request; a tab behind the method',
    'not-implemented': 'methods of any length',
    'bad-chunk': 'a bare LF ends chunk lines and trailers; extensions of any form',
    'bad-field': 'folded lines are joined; a bare LF ends a line',
    'bad-framing': 'Content-Length beside Transfer-Encoding is taken out; lists of one length are one',
    malformed: 'a bare LF ends the request line',
    version: 'other versions of one digit each',
  }),
];

export const DIFFERENCES: readonly Difference[] = [...OURS, ...THEIRS];
