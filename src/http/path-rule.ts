import { furtherReadings, isPlainPath, normalisePath } from './path.ts';

/** Puts another path in the place of a route's path. */
export class PathRule {
  /** Without a slash at its end: '' for `/`. */
  readonly prefix: string;
  private readonly replacement: string;

  /** @param path of the route. @param replacement `/` = the route's path is stripped. Both as config/ has checked them. */
  constructor(path: string, replacement: string) {
    this.prefix = path === '/' ? '' : path;
    this.replacement = replacement === '/' ? '' : replacement;
  }

  /**
   * The path with its front replaced; the rest is kept byte for byte.
   * @returns null when the path does not begin with the prefix as it is written (escapes, `//`, dot segments), or when
   * the result could be read as another authority (`//…`) or as a path outside of the replacement (`/../…`).
   */
  apply(path: string): string | null {
    const { prefix, replacement } = this;
    if (!path.startsWith(prefix)) return null;
    const rest = path.slice(prefix.length);
    if (rest !== '' && rest[0] !== '/') return null;
    const result = replacement + rest;
    if (/^\/[/\\]/.test(result)) return null;
    return result === '' ? '/' : this.stays(result) ? result : null;
  }

  private stays(path: string): boolean {
    const bytes = Buffer.from(path, 'latin1');
    if (isPlainPath(bytes, 0, bytes.length)) return true;
    // Whatever way a backend reads it, it must not climb out of where it was put.
    const [strict, eager, further] = [normalisePath(path, false), normalisePath(path, true), furtherReadings(path)];
    if (strict === null || eager === null || further === null) return false;
    return [strict, eager, ...further].every((reading) => isUnder(reading, this.replacement));
  }

  /** Whether a path is one that this rule has led to already, inside its own prefix: `/` → `/app`, and the path is `/app/x`. */
  isThere(path: string): boolean {
    return isUnder(this.replacement, this.prefix) && this.replacement !== this.prefix && isUnder(path, this.replacement);
  }
}

/** On segment boundaries. */
function isUnder(path: string, folder: string): boolean {
  return path.startsWith(folder) && (path.length === folder.length || path[folder.length] === '/');
}
