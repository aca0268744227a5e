import { z } from 'zod';
import { MAX_DURATION, parseDuration } from '../config/duration.ts';
import { parseShare } from '../config/share.ts';

const SHARE = 'expected a share from 0 to 1, such as 0.01 or "1%"';
const DURATION = 'expected a duration such as 500ms or 30s, or a number of milliseconds';

const Share = z
  .union([z.string(), z.number()], { error: SHARE })
  .transform((input, context) => {
    const share = parseShare(input);
    if (share !== null) return share;
    context.addIssue({ code: 'custom', message: SHARE, input });
    return z.NEVER;
  })
  .meta({ examples: ['1%'] });

const Millis = z
  .union([z.string(), z.number()], { error: DURATION })
  .transform((input, context) => {
    const ms = parseDuration(input);
    if (ms !== null && ms <= MAX_DURATION) return ms;
    context.addIssue({ code: 'custom', message: DURATION, input });
    return z.NEVER;
  })
  .meta({ examples: ['300ms'] });

const between = (least: number, most: number) => {
  const error = `expected a number from ${least} to ${most}`;
  return z.number({ error }).min(least, { error }).max(most, { error });
};

const Requests = z.int({ error: 'expected a whole number of at least 1' }).min(1, { error: 'expected a whole number of at least 1' });

/** How a swap wants its canary judged; what it does not say is as its upstream has it. */
export const Analysis = z
  .union([
    z.boolean(),
    z.strictObject({
      required: z.boolean({ error: 'expected true or false' }).optional(),
      minRequests: Requests.optional(),
      falseAlarms: Share.refine((share) => share > 0 && share <= 0.5, { error: 'expected a share over 0, up to 0.5' }).optional(),
      latencyFactor: between(1, 1000).optional(),
      latencySlack: Millis.optional(),
      warmup: Millis.optional(),
      errorRateMax: Share.nullish(),
      p99MsMax: Millis.refine((ms) => ms > 0, { error: 'expected more than 0' }).nullish(),
      extend: between(1, 1000).optional(),
    }),
  ])
  .meta({ description: 'How the steps of the canary are judged; false = they are not. What is asked for here has to be judged, unless `required` is false' });

/** Without the fields that were not given: those are the upstream's. */
export function analysisAsked(asked: z.output<typeof Analysis>) {
  if (typeof asked === 'boolean') return asked;
  const { errorRateMax, p99MsMax, ...rest } = asked;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as typeof rest;
  return { ...given, ...(errorRateMax === undefined ? {} : { errorRateMax }), ...(p99MsMax === undefined ? {} : { p99MsMax }) };
}
