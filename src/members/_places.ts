import type { BackendHealth, Probe } from '../health/evidence.ts';
import type { Books, Entry } from './_books.ts';

/**
 * The health of the places that a version was declared with. A place belongs to the member of that name; while that is not there, any
 * other member of the version fills it, so that three members by any names are three of three.
 */
export function healthOfPlaces(books: Books, present: readonly Entry[], newest: ReadonlyMap<string, Entry>): Map<string, BackendHealth> {
  const own = new Set(books.places);
  const spare = present.filter(({ id, ready, restored, heard }) => !own.has(id) && ready && !restored && heard > 0).sort((a, b) => (a.id < b.id ? -1 : 1));
  const found = new Map<string, BackendHealth>();
  for (const place of books.places) {
    const named = newest.get(place);
    const there = named?.slot === books.slot ? named : undefined;
    const entry = there ?? spare.shift();
    if (entry !== undefined) found.set(place, healthOf(entry));
    else {
      const lost = books.lost.get(place);
      if (lost !== undefined) found.set(place, { health: 'unhealthy', run: -1, probes: [probe(lost.at, lost.error)] });
    }
  }
  return found;
}

function healthOf({ restored, heard, ready, wallAt }: Entry): BackendHealth {
  if (restored) return { health: 'unknown', run: 0, probes: [] };
  if (!ready) return { health: 'unhealthy', run: -heard, probes: [probe(wallAt, 'it says that it is not ready')] };
  return { health: 'healthy', run: heard, probes: [probe(wallAt, null)] };
}

function probe(at: number, error: string | null): Probe {
  return { at, ok: error === null, status: null, ms: 0, error };
}
