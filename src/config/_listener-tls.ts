/** The shape of a listener's `tls`. */
import { z } from 'zod';
import { foldedName, isEditable } from '../http/edit-fields.ts';
import { acme } from './_acme.ts';
import { fieldName } from './_fields.ts';
import { pemField } from './_pem.ts';

/** Fields that say who the client is must not be ones that mean something else already. */
const identityField = fieldName.refine((name) => isEditable(name, 'request') && foldedName(name) !== 'host' && foldedName(name) !== 'cookie', {
  error: 'the name of a field that has no other meaning',
});

const headers = z
  .strictObject({
    subject: identityField.nullable().default('X-Client-Cert-Subject'),
    issuer: identityField.nullable().default('X-Client-Cert-Issuer'),
    fingerprint: identityField.nullable().default('X-Client-Cert-Fingerprint'),
    names: identityField.nullable().default('X-Client-Cert-Names'),
  })
  .refine(
    (fields) => {
      const names = Object.values(fields).flatMap((name) => (name === null ? [] : [foldedName(name)]));
      return new Set(names).size === names.length;
    },
    { error: 'a field of its own for each' },
  );

const clientAuth = z.strictObject({
  ca: pemField,
  mode: z.enum(['require', 'request']).default('require'),
  headers: headers.prefault({}),
});

export const listenerTls = z
  .strictObject({
    certificates: z
      .array(z.strictObject({ cert: pemField, key: pemField }))
      .max(1000)
      .default([]),
    acme: acme.nullable().default(null),
    minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
    clientAuth: clientAuth.nullable().default(null),
    http2: z.boolean().default(true),
  })
  .refine(({ certificates, acme: automatic }) => certificates.length > 0 || automatic !== null, { error: 'at least one certificate, or acme' });

export type ParsedListenerTls = z.output<typeof listenerTls>;
