import { timingSafeEqual } from 'node:crypto';
import { bytes } from '../http/chars.ts';
import { pathEnd } from '../http/path.ts';
import { BODY, type RequestHead } from '../http/request-head.ts';
import { hashText } from '../pool/split.ts';
import type { PreviewPolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { Reach } from '../pool/reach.ts';
import { cookieValue, headerValue } from './_named.ts';
import { TRAIT } from './_traits.ts';
import type { BackendTarget, VersionTarget } from './targets.ts';

/** What steering reads and writes of a request. */
export interface Steered {
  traits: number;
  /** Version that the request names, by its pin or its preview field; null = none. */
  wanted: string | null;
  /** Backend that a cookie of the request is bound to; null = none. */
  stuck: string | null;
  readonly backend: BackendTarget | null;
  /** Further field lines of the answer. */
  extra: string;
}

/** A version of the table with its doors. */
export interface Door {
  readonly target: VersionTarget;
  readonly reach: Reach;
}

const LONGEST_VALUE = 256;

/** What steers requests of an upstream past its split. Compiled with the table; upstreams that want nothing of the kind have none. */
export class Steering {
  private readonly backendCookie: string | null;
  private readonly pinCookie: string | null;
  private readonly pinHeader: string | null;
  private readonly renew: boolean;
  private readonly preview: PreviewPolicy | null;
  private readonly pinned: ReadonlyMap<string, VersionTarget>;
  private readonly previewed: ReadonlyMap<string, VersionTarget>;
  /** Versions that may have an asset: those with weight, then the newest of the others. */
  private readonly holders: readonly VersionTarget[];
  private readonly assets: readonly Uint8Array[];

  constructor({ skew, preview, sticky }: UpstreamPolicy, doors: readonly Door[]) {
    const through = (door: keyof Reach): VersionTarget[] => doors.filter(({ reach }) => reach[door]).map(({ target }) => target);
    this.backendCookie = sticky.backend;
    this.pinCookie = skew?.pin?.cookie ?? null;
    this.pinHeader = skew?.pin?.header?.toLowerCase() ?? null;
    this.renew = skew?.pin?.renew ?? false;
    this.preview = preview;
    this.pinned = byId(through('pins'));
    this.previewed = byId(through('preview'));
    this.holders = through('assets');
    this.assets = (skew?.assets ?? []).map(bytes);
  }

  /** Takes from a head what steers its request. */
  read(request: Steered, head: RequestHead, buf: Buffer): void {
    if (this.holders.length > 1 && this.isAsset(head, buf)) request.traits |= TRAIT.asset;
    if (this.backendCookie !== null) request.stuck = cookieValue(head, buf, this.backendCookie) || null;
    if (this.preview !== null) {
      const id = this.previewOf(this.preview, head, buf);
      if (id !== null) {
        request.traits |= TRAIT.preview;
        request.wanted = id;
        return;
      }
    }
    if (this.renew && headerValue(head, buf, 'sec-fetch-mode') === 'navigate') return;
    if (this.pinCookie !== null) request.wanted = cookieValue(head, buf, this.pinCookie) || null;
    else if (this.pinHeader !== null) request.wanted = headerValue(head, buf, this.pinHeader);
  }

  /** The version that a request names for itself; null = it names none, or none that it can reach. */
  named({ wanted, traits }: Steered): VersionTarget | null {
    if (wanted === null) return null;
    return ((traits & TRAIT.preview) === 0 ? this.pinned : this.previewed).get(wanted) ?? null;
  }

  /** The one other version that may have an asset which this one does not have. */
  other({ id }: VersionTarget): VersionTarget | null {
    return this.holders.find((version) => version.id !== id) ?? null;
  }

  /** Adds to the answer what the client is to know of its version: a pin, unless it has it, and an asset may be for many. */
  say(request: Steered, version: VersionTarget, split: boolean): void {
    request.extra += version.says;
    if (this.backendCookie !== null && (request.traits & TRAIT.away) === 0) this.bind(this.backendCookie, request, version);
    if (split && request.wanted !== version.id && (request.traits & TRAIT.asset) === 0) request.extra += version.pin;
  }

  private bind(cookie: string, request: Steered, { backends, marks }: VersionTarget): void {
    const mark = marks[backends.indexOf(request.backend!)];
    if (mark !== request.stuck) request.extra += `Set-Cookie: ${cookie}=${mark}; Path=/; HttpOnly; SameSite=Lax\r\n`;
  }

  /** The version of the preview field, when it says the secret and the version can be reached. */
  private previewOf({ header, cookie, secret }: PreviewPolicy, head: RequestHead, buf: Buffer): string | null {
    const said = (header === null ? null : headerValue(head, buf, header.toLowerCase())) ?? (cookie === null ? '' : cookieValue(head, buf, cookie));
    if (said === '' || said.length > LONGEST_VALUE) return null;
    const colon = secret === null ? said.length : said.indexOf(':');
    if (colon === -1 || (secret !== null && !isSame(said.slice(colon + 1), secret))) return null;
    const id = said.slice(0, colon);
    return this.previewed.has(id) ? id : null;
  }

  private isAsset(head: RequestHead, buf: Buffer): boolean {
    const get = (head.methodEnd - head.start === 3 && buf[head.start] === LETTER_G) || (head.methodEnd - head.start === 4 && buf[head.start] === LETTER_H);
    if (!get || head.body !== BODY.none || head.upgrade !== -1) return false;
    const end = pathEnd(buf, head.targetStart, head.targetEnd);
    return this.assets.some((prefix) => prefix.length < end - head.targetStart && prefix.every((code, i) => buf[head.targetStart + i] === code));
  }
}

/** Of GET and HEAD: no other method of their lengths begins so. */
const LETTER_G = 0x47;
const LETTER_H = 0x48;

function byId(versions: readonly VersionTarget[]): Map<string, VersionTarget> {
  return new Map(versions.map((version) => [version.id, version]));
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, 'latin1'), Buffer.from(other, 'latin1')];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Field lines by which the answers of a version say which one it is; '' = none. */
export function versionLines({ versionHeader, skew }: UpstreamPolicy, id: string): string {
  const names = [versionHeader, skew?.pin?.header ?? null].filter((name) => name !== null);
  const [first, second] = names;
  if (first === undefined) return '';
  return second === undefined || first.toLowerCase() === second.toLowerCase() ? `${first}: ${id}\r\n` : `${first}: ${id}\r\n${second}: ${id}\r\n`;
}

/** The field line that pins a client to a version; '' = none. */
export function pinLine({ skew }: UpstreamPolicy, id: string): string {
  const pin = skew?.pin ?? null;
  if (pin === null || pin.cookie === null) return '';
  const age = pin.maxAge === null ? '' : `; Max-Age=${Math.ceil(pin.maxAge / 1000)}`;
  return `Set-Cookie: ${pin.cookie}=${id}; Path=/; HttpOnly; SameSite=Lax${age}\r\n`;
}

/** What a cookie calls a backend of a version: it tells nobody its address. */
export function backendMark(version: string, address: string): string {
  const [high, low] = [hashText(address, hashText(version)), hashText(version, hashText(address))];
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}

/** Whether requests of an upstream are steered by anything but its split. */
export function isSteered({ skew, preview, versionHeader, sticky }: UpstreamPolicy): boolean {
  return skew !== null || preview !== null || versionHeader !== null || sticky.backend !== null;
}
