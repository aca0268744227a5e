/** The shape of what steers single requests past the split. */
import { z } from 'zod';
import { isEditable } from '../http/edit-fields.ts';
import { assetPrefix, duration, fieldName, name, percent, steeringSecret, whole } from './_fields.ts';
import { method } from './_rules-schema.ts';

const MINUTE = 60_000;

const sayable = fieldName.refine((name) => isEditable(name, 'response'), {
  error: 'the name of a field that is not for the proxy alone to say (framing, hop-by-hop and forwarding fields are)',
});

/** Field of answers that names their version. */
export const versionHeader = sayable.nullable().default(null);

const pin = z
  .union(
    [
      z.null(),
      z.strictObject({
        cookie: fieldName.nullable().default(null),
        header: sayable.nullable().default(null),
        maxAge: duration(1000).nullable().default(null),
        renew: z.boolean().default(false),
      }),
    ],
    { error: '{cookie, maxAge, renew} or {header}' },
  )
  .default(null);

export const skew = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        pin,
        assets: z.array(assetPrefix).max(100).default([]),
        for: duration(1).default(10 * MINUTE),
      }),
    ],
    { error: 'false or {pin, assets, for}' },
  )
  .default(false)
  .transform((value) => value || null);

const MAX_BODY = 65_536;

export const mirror = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        to: name.default('standby'),
        percent: percent.default(100),
        methods: z.array(method).min(1).max(32).default(['GET', 'HEAD']),
        maxBody: whole(0, MAX_BODY, ' (bytes)').default(16_384),
        concurrency: whole(1, 100_000).default(50),
        timeout: duration(10).default(10_000),
      }),
    ],
    { error: 'false or {to, percent, methods, maxBody, concurrency, timeout}' },
  )
  .default(false)
  .transform((value) => value && { ...value, to: value.to === 'standby' ? null : value.to })
  .transform((value) => value || null);

/** One that was to come from the environment and did not: without it anybody could preview. */
function refuseUnset(value: unknown, context: z.RefinementCtx): unknown {
  if (typeof value === 'object' && value !== null && 'secret' in value && value.secret === undefined)
    context.addIssue({ code: 'custom', path: ['secret'], message: 'a secret, or no such field (is its environment variable set?)', input: undefined });
  return value;
}

const previewShape = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        header: sayable.nullable().default(null),
        cookie: fieldName.nullable().default(null),
        secret: steeringSecret.nullable().default(null),
      }),
    ],
    { error: 'false or {header, cookie, secret}' },
  )
  .default(false)
  .transform((value) => value || null);

export const preview = z.preprocess(refuseUnset, previewShape);
