/** What an input has shown to be wrong. */
export class Failure extends Error {}

export function expect(met: boolean, what: string | (() => string)): void {
  if (!met) throw new Failure(typeof what === 'string' ? what : what());
}

/** Bytes as a person reads them. */
export function shown(text: string, most = 400): string {
  return JSON.stringify(text.length > most ? `${text.slice(0, most)}…` : text);
}
