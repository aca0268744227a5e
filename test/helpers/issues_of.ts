import { Refusal } from '../../src/errors/catalogue.ts';
import type { Issue } from '../../src/errors/catalogue.ts';

/** What a refusal of `run` names; none when it is not refused. */
export function issuesOf(run: () => unknown): readonly Issue[] {
  try {
    run();
  } catch (error) {
    if (error instanceof Refusal && error.fault.code === 'invalid') return error.errors;
    throw error;
  }
  return [];
}
