/** The shape of `webhooks`. */
import { z } from 'zod';
import { EVENT_TYPES } from '../pool/events.ts';
import type { EventType } from '../pool/events.ts';
import { duration, name, whole } from './_fields.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DEFAULT_EVENTS: EventType[] = ['admitted', 'step', 'live', 'drained', 'released', 'rolled-back', 'rejected'];

const url = z.custom<string>(
  (value) => typeof value === 'string' && value.length <= 2048 && /^https?:\/\//.test(value) && URL.canParse(value) && new URL(value).hash === '',
  { error: 'an http or https URL without #' },
);

const secret = z.custom<string>((value) => typeof value === 'string' && /^[!-~]{16,256}$/.test(value), {
  error: 'a secret of 16 to 256 characters without spaces',
});

const webhook = z.strictObject({
  name,
  url,
  secret,
  events: z
    .union([z.literal('*'), z.array(z.enum(EVENT_TYPES)).min(1)], { error: `'*' or a list of ${EVENT_TYPES.join(', ')}` })
    .default(DEFAULT_EVENTS)
    .transform((value): readonly EventType[] => (value === '*' ? EVENT_TYPES : value)),
  upstreams: z.array(name).min(1).max(1000).nullable().default(null),
  timeout: duration(10).default(10 * SECOND),
  maxAge: duration(100).default(24 * HOUR),
  attempts: whole(1, 10_000).default(100),
  backoff: z
    .strictObject({ base: duration(10).default(SECOND), max: duration(10).default(600 * SECOND) })
    .prefault({})
    .transform(({ base, max }) => ({ base, max: Math.max(base, max) })),
  queue: whole(1, 100_000).default(10_000),
});

export const webhooks = z.array(webhook).max(100).default([]);
