/** The shape of what steers single requests past the split. */
import { z } from 'zod';
import { isEditable } from '../http/edit-fields.ts';
import { assetPrefix, duration, fieldName, steeringSecret } from './_fields.ts';

const MINUTE = 60_000;

const sayable = fieldName.refine((name) => isEditable(name, 'response'), {
  error: 'the name of a field that is not for the proxy alone to say (framing, hop-by-hop and forwarding fields are)',
});

/** Field of answers that names their version. */
export const versionHeader = sayable.nullable().default(null);

const pin = z.strictObject({
  cookie: fieldName.nullable().default(null),
  header: sayable.nullable().default(null),
  maxAge: duration(1000).nullable().default(null),
});

export const skew = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        pin: pin.nullable().default(null),
        assets: z.array(assetPrefix).max(100).default([]),
        for: duration(1).default(10 * MINUTE),
      }),
    ],
    { error: 'false or {pin, assets, for}' },
  )
  .default(false)
  .transform((value) => value || null);

export const preview = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        header: fieldName.nullable().default(null),
        cookie: fieldName.nullable().default(null),
        secret: steeringSecret.nullable().default(null),
      }),
    ],
    { error: 'false or {header, cookie, secret}' },
  )
  .default(false)
  .transform((value) => value || null);
