import type { ConfigPlan, ConfigView, UndoAsk, UndoView } from '../../src/control/config-views.ts';
import type { Caller } from '../../src/control/operations.ts';
import { Refusal, REFUSAL } from '../../src/errors/catalogue.ts';
import type { HistoryEntry } from '../../src/history/history.ts';
import type { WebhookView } from '../../src/webhooks/webhooks.ts';

/** Fake operations on the proxy as a whole. */
export class FakeDesk {
  readonly calls: { name: string; args: readonly unknown[] }[] = [];
  entries: HistoryEntry[] = [];
  plan: ConfigPlan = { revision: 4, changes: [], kept: [], restart: [], warnings: [] };

  configuration(): ConfigView {
    const source = { kind: 'file' as const, name: 'proxy.config.ts', enforce: false };
    return { revision: 4, changedBy: 'ann', changedAt: '2026-01-02T03:04:05.000Z', source, config: {}, owners: { timeouts: 'default' }, drift: [] };
  }

  planConfig(document: unknown, prune: boolean): ConfigPlan {
    this.calls.push({ name: 'planConfig', args: [document, prune] });
    return this.plan;
  }

  async applyConfig(document: unknown, prune: boolean, { by, ifMatch }: Caller): Promise<ConfigPlan> {
    if (ifMatch !== undefined && ifMatch !== 4)
      throw new Refusal(REFUSAL.stale, 'The configuration is at revision 4, changed by ann.', { revision: 4, changedBy: 'ann' });
    this.calls.push({ name: 'applyConfig', args: [document, prune, by] });
    return this.plan;
  }

  history(query: { limit: number }): HistoryEntry[] {
    this.calls.push({ name: 'history', args: [query] });
    return this.entries;
  }

  historyEntry(id: number): HistoryEntry {
    const found = this.entries.find((entry) => entry.id === id);
    if (found === undefined) throw new Refusal(REFUSAL.notFound);
    return found;
  }

  async undo({ to: id }: UndoAsk, { by }: Caller): Promise<UndoView> {
    this.calls.push({ name: 'undo', args: [id, by] });
    return { kind: 'config', to: id ?? 3, entry: null, swap: null, upstream: null };
  }

  hooks: WebhookView[] = [];
  webhooks = (): WebhookView[] => this.hooks;

  redeliver(name: string): { again: number; view: WebhookView } {
    this.calls.push({ name: 'redeliver', args: [name] });
    const view = this.hooks.find((hook) => hook.name === name);
    if (view === undefined) throw new Refusal(REFUSAL.notFound);
    return { again: view.dead, view };
  }
}
