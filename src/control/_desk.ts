import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { History, HistoryEntry } from '../history/history.ts';
import type { Webhooks, WebhookView } from '../webhooks/webhooks.ts';
import type { Certificates } from './certificates.ts';
import type { ConfigPlan, ConfigView, UndoView } from './config-views.ts';
import type { Caller, CertificateView, ReloadView, SwapView, UpstreamView } from './operations.ts';
import type { Structure } from './structure.ts';

export interface DeskParts {
  readonly structure: Structure;
  readonly history: History;
  readonly certificates: Certificates;
  readonly webhooks: Webhooks;
}

/** What can be asked about the proxy as a whole: its configuration, its past, its certificates, and who is told of events. */
export abstract class Desk {
  protected readonly parts: DeskParts;

  constructor(parts: DeskParts) {
    this.parts = parts;
  }

  abstract setSplit(name: string, weights: Record<string, number>, caller: Caller): Promise<UpstreamView>;
  abstract rollback(name: string, to: string | null, caller: Caller): Promise<SwapView>;

  webhooks(): WebhookView[] {
    return this.parts.webhooks.views();
  }

  redeliver(name: string): { again: number; view: WebhookView } {
    return this.parts.webhooks.redeliver(name);
  }

  certificates(): CertificateView[] {
    return this.parts.certificates.views();
  }

  async reloadCertificates(caller: Caller): Promise<ReloadView> {
    const view = await this.parts.certificates.reload(`a call of ${caller.by}`);
    const { reloaded, refused } = view;
    this.note('certificates', null, caller, `read again: ${reloaded} replaced, ${refused.length} refused`, { reloaded, refused: refused.length });
    return view;
  }

  configuration(): ConfigView {
    return this.parts.structure.view();
  }

  planConfig(document: unknown, prune: boolean): ConfigPlan {
    return this.parts.structure.plan(document, prune);
  }

  async applyConfig(document: unknown, prune: boolean, caller: Caller): Promise<ConfigPlan> {
    const { plan } = await this.parts.structure.apply(document, prune, caller);
    return { ...plan, revision: this.parts.history.revision };
  }

  history(query: { upstream?: string; limit: number; before?: number }): HistoryEntry[] {
    return this.parts.history.list(query);
  }

  historyEntry(id: number): HistoryEntry {
    return this.parts.history.get(id);
  }

  async undo(id: number | null, caller: Caller): Promise<UndoView> {
    const { history, structure } = this.parts;
    const to = id === null ? history.configBefore() : history.get(id);
    if (to === null) throw new Refusal(REFUSAL.nothingKept, 'No configuration of before is remembered.');
    const view: UndoView = { kind: 'config', to: to.id, entry: null, swap: null, upstream: null };
    if (to.kind === 'config') return { ...view, entry: await structure.undo(to, caller) };
    const { upstream, facts } = to;
    if (to.kind === 'split' && upstream !== null) {
      const weights = facts.weights as Record<string, number>;
      return { ...view, kind: 'split', upstream: await this.setSplit(upstream, weights, { by: caller.by }) };
    }
    if (to.kind === 'swap' && upstream !== null && facts.outcome === 'done') {
      return { ...view, kind: 'rollback', swap: await this.rollback(upstream, String(facts.to), { by: caller.by }) };
    }
    throw new Refusal(
      REFUSAL.notNow,
      `Change ${to.id} (${to.summary}) is none that can be brought back: only configurations, splits and swaps that were done.`,
    );
  }

  protected note(kind: HistoryEntry['kind'], upstream: string | null, { by }: Caller, summary: string, facts: Record<string, unknown>): void {
    this.parts.history.record({ by, via: 'api', kind, upstream, summary, changes: [], facts });
  }
}
