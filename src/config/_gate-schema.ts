import { z } from 'zod';
import { duration, httpUrl, name, secret } from './_fields.ts';

const SECOND = 1000;

const gate = z.strictObject({
  name,
  at: z.enum(['admission', 'step', 'release']),
  url: httpUrl,
  secret,
  timeout: duration(100).default(300 * SECOND),
  interval: duration(100).default(5 * SECOND),
  onTimeout: z.enum(['stop', 'pass']).default('stop'),
});

/** Who is asked before a swap goes on. */
export const gates = z
  .array(gate)
  .max(20)
  .superRefine((list, context) => {
    for (const [i, one] of list.entries()) {
      if (list.findIndex((other) => other.name === one.name) < i)
        context.addIssue({ code: 'custom', message: 'a name that no other gate has', path: [i, 'name'], input: one.name });
    }
  })
  .default([]);
