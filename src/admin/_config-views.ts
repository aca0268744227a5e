import { z } from 'zod';
import type { ConfigPlan, ConfigView as Configuration, UndoView as Undo } from '../control/config-views.ts';
import type { HistoryEntry } from '../history/history.ts';
import { SwapView, UpstreamView } from './_views.ts';

const Time = z.string().meta({ format: 'date-time' });
const Value = z.unknown().optional();
const Author = z.object({ id: z.int(), by: z.string(), at: Time });

const Planned = z
  .object({ path: z.string(), from: Value, to: Value, changed: Author.nullable() })
  .meta({ description: 'A field that differs; `from` or `to` is absent where the field is. `changed`: who has decided what is in force' });

export const PlanOfConfig = z.object({
  revision: z.int(),
  changes: z.array(Planned),
  kept: z.array(z.string()).meta({ description: 'Upstreams that run and are not in the document' }),
  restart: z.array(z.string()).meta({ description: 'Fields that take effect only at a restart' }),
  warnings: z.array(z.string()),
}) satisfies z.ZodType<ConfigPlan>;

export const ConfigView = z.object({
  revision: z.int(),
  changedBy: z.string(),
  changedAt: Time,
  source: z.object({ kind: z.enum(['file', 'pull']), name: z.string(), enforce: z.boolean() }),
  config: z.record(z.string(), z.unknown()),
  owners: z.record(z.string(), z.enum(['file', 'pull', 'api', 'default'])),
  drift: z.array(Planned).meta({ description: 'From: what the source says; to: what is in force' }),
}) satisfies z.ZodType<Configuration>;

export const HistoryEntryView = z.object({
  id: z.int(),
  at: Time,
  by: z.string(),
  via: z.enum(['api', 'file', 'pull', 'start']),
  kind: z.enum(['config', 'swap', 'deploy', 'split', 'hold', 'drain', 'certificates']),
  upstream: z.string().nullable(),
  summary: z.string(),
  changes: z.array(z.object({ path: z.string(), from: Value, to: Value })),
  facts: z.record(z.string(), z.unknown()),
}) satisfies z.ZodType<HistoryEntry>;

export const UndoView = z.object({
  kind: z.enum(['config', 'rollback', 'split']),
  to: z.int(),
  entry: HistoryEntryView.nullable(),
  swap: SwapView.nullable(),
  upstream: UpstreamView.nullable(),
}) satisfies z.ZodType<Undo>;
