import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { History, HistoryEntry } from '../history/history.ts';
import type { Webhooks, WebhookView } from '../webhooks/webhooks.ts';
import type { Certificates } from './certificates.ts';
import type { ConfigPlan, ConfigView, UndoAsk, UndoView } from './config-views.ts';
import type { Caller, CertificateView, ReloadView, SwapView, UpstreamView } from './operations.ts';
import type { Structure } from './structure.ts';

/** Entries of the history that are looked through for how a version was launched. */
const MOST_LOOKED = 1_000;

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
  abstract upstream(name: string): UpstreamView;
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

  async undo({ to: id, of }: UndoAsk, caller: Caller): Promise<UndoView> {
    if (of !== null) return this.takeBack(of, caller);
    const { history, structure } = this.parts;
    const to = id === null ? history.configBefore() : history.get(id);
    if (to === null)
      throw new Refusal(
        REFUSAL.nothingKept,
        'There is no configuration before the present one. What a swap or deploy has done is taken back by its number in the history.',
      );
    const view: UndoView = { kind: 'config', to: to.id, entry: null, swap: null, upstream: null };
    if (to.kind === 'config') return { ...view, entry: await structure.undo(to, caller) };
    const { upstream, facts } = to;
    if (to.kind === 'split' && upstream !== null) {
      const weights = facts.weights as Record<string, number>;
      return { ...view, kind: 'split', upstream: await this.setSplit(upstream, weights, { by: caller.by }) };
    }
    if ((to.kind === 'swap' || to.kind === 'deploy') && upstream !== null && facts.outcome === 'done') {
      return { ...view, kind: 'rollback', swap: await this.backTo(upstream, String(facts.to), caller) };
    }
    throw new Refusal(
      REFUSAL.notNow,
      `Change ${to.id} (${to.summary}) is none that can be brought back: only configurations, splits, and swaps and deploys that were done.`,
    );
  }

  /** Takes back what a swap or a deploy has done: a rollback to what was live before it. */
  private async takeBack(id: number, caller: Caller): Promise<UndoView> {
    const { kind, upstream, facts, summary } = this.parts.history.get(id);
    const refuse = (why: string): Refusal => new Refusal(REFUSAL.notNow, `Change ${id} (${summary}) cannot be taken back: ${why}.`);
    if ((kind !== 'swap' && kind !== 'deploy') || upstream === null) throw refuse('it is no swap or deploy; bring back what was after another change');
    if (facts.outcome !== 'done') throw refuse('it has moved nothing, or was taken back itself');
    const [from, to] = [facts.from, String(facts.to)];
    if (typeof from !== 'string') throw refuse('nothing was live before it');
    const live = Object.keys(this.upstream(upstream).split);
    if (live.length !== 1 || live[0] !== to) throw refuse(`by now ${live.join(' and ') || 'nothing'} is live, and not ${to} alone`);
    return { kind: 'rollback', to: id, entry: null, swap: await this.backTo(upstream, from, caller), upstream: null };
  }

  private async backTo(upstream: string, version: string, { by }: Caller): Promise<SwapView> {
    try {
      return await this.rollback(upstream, version, { by });
    } catch (error) {
      if (!(error instanceof Refusal) || error.fault !== REFUSAL.nothingKept) throw error;
      const launched = this.parts.history.list({ upstream, limit: MOST_LOOKED }).find(({ kind, facts }) => kind === 'deploy' && facts.to === version);
      const command = launched?.facts.command ?? launched?.facts.image;
      const how = launched === undefined ? '' : ' Its processes were stopped with it.';
      const again = typeof command === 'string' ? ` Deploy it again (${command}), under another name or this one.` : '';
      throw new Refusal(REFUSAL.nothingKept, `${error.message}${how}${again}`, { version });
    }
  }

  protected note(kind: HistoryEntry['kind'], upstream: string | null, { by }: Caller, summary: string, facts: Record<string, unknown>): void {
    this.parts.history.record({ by, via: 'api', kind, upstream, summary, changes: [], facts });
  }
}
