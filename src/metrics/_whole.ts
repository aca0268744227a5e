import type { Described, Point } from './_points.ts';

/** Of the configuration and of webhooks. */
export const WHOLE: readonly Described[] = [
  {
    type: 'gauge',
    name: 'switchyard_config_revision',
    help: 'Number of the change that made the configuration what it is.',
    labels: [],
    read: ({ config }) => [[[], config.revision]],
  },
  {
    type: 'gauge',
    name: 'switchyard_config_drift',
    help: 'Fields in which the configuration in force is not what its source says.',
    labels: [],
    read: ({ config }) => [[[], config.drift]],
  },
  {
    type: 'counter',
    name: 'switchyard_config_pulls_total',
    help: 'Looks at what the configuration is pulled from, by how they ended: `unchanged`, `applied`, `refused` (not valid) or `failed` (not to be had).',
    labels: ['outcome'],
    read: ({ config: { pulls } }) => Object.entries(pulls).map(([outcome, count]): Point => [[outcome], count]),
  },
  {
    type: 'counter',
    name: 'switchyard_webhook_deliveries_total',
    help: 'Attempts to tell a webhook of an event: `delivered`, `failed` (tried again), and events that were given up (`dead`).',
    labels: ['webhook', 'outcome'],
    read: ({ webhooks }) =>
      webhooks.flatMap(({ name, delivered, failed, dead }): Point[] => [
        [[name, 'delivered'], delivered],
        [[name, 'failed'], failed],
        [[name, 'dead'], dead],
      ]),
  },
  {
    type: 'gauge',
    name: 'switchyard_webhook_pending',
    help: 'Events that wait to be taken by a webhook.',
    labels: ['webhook'],
    read: ({ webhooks }) => webhooks.map(({ name, pending }): Point => [[name], pending]),
  },
  {
    type: 'gauge',
    name: 'switchyard_webhook_oldest_pending_seconds',
    help: 'Age of the event that waits the longest to be taken by a webhook; 0 when none waits.',
    labels: ['webhook'],
    read: ({ webhooks }) => webhooks.map(({ name, oldest }): Point => [[name], oldest]),
  },
];
