/** The shape of an upstream's `tls`. */
import { z } from 'zod';
import { serverName } from './_fields.ts';
import { pemField } from './_pem.ts';

const shape = z.strictObject({
  ca: pemField.nullable().default(null),
  servername: serverName.nullable().default(null),
  cert: pemField.nullable().default(null),
  key: pemField.nullable().default(null),
  verify: z.boolean().default(true),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
});

export const backendTls = z
  .union([z.boolean(), shape], { error: 'true, false or {ca, servername, cert, key, verify, minVersion}' })
  .default(false)
  .transform((value): z.output<typeof shape> | null => (value === true ? shape.parse({}) : value === false ? null : value));

export type ParsedBackendTls = z.output<typeof shape>;
