/** The shape of `tls.acme`: certificates that a listener gets by itself. */
import { z } from 'zod';
import type { AcmePolicy, ChallengeType } from '../pool/acme.ts';
import { pemField } from './_pem.ts';

const DIRECTORIES: Readonly<Record<string, string>> = {
  production: 'https://acme-v02.api.letsencrypt.org/directory',
  staging: 'https://acme-staging-v02.api.letsencrypt.org/directory',
};
/** What authorities put into one certificate. */
const MOST_NAMES = 100;
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const DNS_NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})+$`);

const domain = z
  .custom<string>((value) => typeof value === 'string' && DNS_NAME.test(value.toLowerCase()), { error: 'a DNS name without a wildcard' })
  .transform((name) => name.toLowerCase());

const directory = z
  .custom<string>((value) => typeof value === 'string' && (value in DIRECTORIES || isHttps(value)), { error: "'production', 'staging' or an https URL" })
  .transform((value) => DIRECTORIES[value] ?? value);

const email = z.custom<string>((value) => typeof value === 'string' && /^[^\s@<>,;:?&]{1,64}@[^\s@<>,;:?&]{1,190}$/.test(value), {
  error: 'an e-mail address',
});

export const acme = z.strictObject({
  domains: z
    .array(z.union([domain.transform((name) => [name]), z.array(domain).min(1).max(MOST_NAMES)], { error: 'a DNS name without a wildcard, or a list of them' }))
    .min(1)
    .max(1000),
  email: email.nullable().default(null),
  directory: directory.default(DIRECTORIES.production),
  challenge: z.enum(['http-01', 'tls-alpn-01']).default('http-01'),
  eab: z
    .strictObject({
      kid: z.string().min(1).max(1000),
      hmacKey: z.custom<string>((value) => typeof value === 'string' && /^[\w-]{16,1000}={0,2}$/.test(value), { error: 'a key as base64url' }),
    })
    .nullable()
    .default(null),
  ca: pemField.nullable().default(null),
  termsAgreed: z.literal(true, { error: 'true: that you agree to the terms of the certificate authority' }),
});

function isHttps(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'https:';
}

const CHALLENGES: Readonly<Record<z.output<typeof acme>['challenge'], readonly ChallengeType[]>> = {
  'http-01': ['http-01'],
  'tls-alpn-01': ['tls-alpn-01'],
};

/** @param ca the authorities themselves, as PEM. */
export function acmePolicy({ domains, email: contact, directory: url, challenge, eab }: z.output<typeof acme>, ca: string | null): AcmePolicy {
  return { groups: domains, email: contact, directory: url, challenges: CHALLENGES[challenge], eab, ca };
}
