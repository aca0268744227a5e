/** What a caught value says of itself: the message of an error, anything else as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** So many things are told one by one; the rest is a number. */
const TOLD = 10;

/** The first of many texts, and how many more there are. */
export function fewOf(texts: readonly string[]): string[] {
  const more = texts.length - TOLD;
  return more <= 1 ? [...texts] : [...texts.slice(0, TOLD), `and ${more} more`];
}
