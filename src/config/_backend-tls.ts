/** The shape of an upstream's `tls`. */
import { z } from 'zod';
import { serverName } from './_fields.ts';

const MOST_TEXT = 4 * 2 ** 20;

/** Name of a file, or PEM itself. */
const pem = z.custom<string>((value) => typeof value === 'string' && value !== '' && value.length <= MOST_TEXT && !value.includes('\0'), {
  error: 'the name of a file, or PEM text',
});

const shape = z.strictObject({
  ca: pem.nullable().default(null),
  servername: serverName.nullable().default(null),
  cert: pem.nullable().default(null),
  key: pem.nullable().default(null),
  verify: z.boolean().default(true),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
});

export const backendTls = z
  .union([z.boolean(), shape], { error: 'true, false or {ca, servername, cert, key, verify, minVersion}' })
  .default(false)
  .transform((value): z.output<typeof shape> | null => (value === true ? shape.parse({}) : value === false ? null : value));

export type ParsedBackendTls = z.output<typeof shape>;
