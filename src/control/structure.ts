import { isDeepStrictEqual } from 'node:util';
import type { Config, UpstreamConfig } from '../config/config.ts';
import { diffConfig } from '../config/diff.ts';
import { TOP_FIELDS } from '../config/inline.ts';
import { parseTop, parseUpstream, refuseRouteConflicts } from '../config/parse.ts';
import type { RunningTop } from '../config/parse.ts';
import { changesBetween, plainConfig } from '../config/plain.ts';
import type { Change, Plain } from '../config/plain.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { Documents, History, HistoryEntry, Via } from '../history/history.ts';
import { isFinished } from '../pool/upstream.ts';
import type { SwitchyardEvent } from '../swap/ports.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import { documentOf } from './_document.ts';
import type { ConfigPlan, ConfigView, DriftView, PlannedChange } from './config-views.ts';
import { refuseChangedKind, refuseOtherKind } from './crews.ts';
import type { Declared } from './declared.ts';
import type { Fleet } from './fleet.ts';
import type { Caller } from './operations.ts';
import type { Publisher } from './publisher.ts';

export interface StructureParts {
  readonly config: Config;
  readonly source: ConfigSource;
  readonly fleet: Fleet;
  readonly publisher: Publisher;
  readonly webhooks: Webhooks;
  readonly history: History;
  readonly declared: Declared;
  readonly emit: (event: SwitchyardEvent) => void;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Tells what is allowed but should be known. */
  readonly warn: (upstream: UpstreamConfig) => void;
  /** Refuses what may not be brought in through the API. */
  readonly admit: (upstream: UpstreamConfig) => void;
  /** Refuses while a deploy of the upstream starts its processes. */
  readonly refuseStarting: (upstream: string) => void;
  /** Number of the last decision in the journal. */
  readonly seq: () => number;
}

/** Where the proxy has its configuration from; `name` is a path, or a URL without what may be secret in it. */
export interface ConfigSource {
  readonly kind: 'file' | 'pull';
  readonly name: string;
}

/** A whole structure: what is in force, or shall be. */
interface Whole {
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>;
  readonly top: RunningTop;
}

interface Why {
  readonly by: string;
  readonly via: Via;
  readonly summary: string;
  readonly upstream?: string;
  readonly facts?: Record<string, unknown>;
  /** Upstreams that are put in force anew also when nothing of them differs. */
  readonly anew?: ReadonlySet<string>;
  /** Of the upstream that is put by itself. */
  readonly ifMatch?: number;
}

/** THE STRUCTURE: what is in force, who has decided it, and every change of it, one at a time and all or nothing. */
export class Structure {
  private readonly parts: StructureParts;
  /** What the source says, whatever is in force. */
  private source: Config;
  private top: RunningTop;
  /** Looks at what the configuration is pulled from, by how they ended. */
  readonly pulls: Record<string, number> = { unchanged: 0, applied: 0, refused: 0, failed: 0 };
  private turn: Promise<unknown> = Promise.resolve();

  constructor(parts: StructureParts) {
    this.parts = parts;
    this.source = parts.config;
    this.top = startingTop(parts.config, parts.declared);
  }

  /** What the top level is now. */
  get running(): RunningTop {
    return this.top;
  }

  /** Notes what has changed while the proxy did not run. */
  started(): void {
    const { history, source } = this.parts;
    const last = history.lastConfig();
    const now = this.whole();
    const changes = last === null ? [] : changesBetween(this.recorded(last.id), this.plain(now));
    if (last !== null && changes.length === 0) return;
    const summary = last === null ? 'the first configuration' : 'changed while the proxy did not run';
    history.record({ by: `${source.kind} ${source.name}`, via: 'start', kind: 'config', upstream: null, summary, changes }, documentsOf(now));
  }

  /** As a generation was, if it can still be read. */
  private recorded(id: number): Plain {
    try {
      return this.plain(wholeOf(this.parts.history.documents(id)));
    } catch {
      return {};
    }
  }

  // ── What can be asked. ──

  view(): ConfigView {
    const { history, source } = this.parts;
    const last = history.lastConfig();
    const now = this.whole();
    const units = [...TOP_FIELDS, ...[...now.upstreams.keys()].map((name) => `upstreams.${name}`)];
    return {
      revision: history.revision,
      changedBy: last?.by ?? 'switchyard',
      changedAt: last?.at ?? new Date().toISOString(),
      source: { ...source, enforce: this.source.pull.enforce },
      config: this.plain(now),
      owners: Object.fromEntries(units.map((unit) => [unit, this.ownerOf(unit)])),
      drift: this.drift(),
    };
  }

  /** Fields in which what is in force differs from what the source says. */
  drift(): DriftView[] {
    const [is, said] = [this.plain(this.whole()), this.plain({ upstreams: this.source.upstreams, top: this.source })];
    const fields = TOP_FIELDS.filter((field) => this.source.spec[field] !== undefined).flatMap((field) => changesBetween(said[field], is[field], field));
    const [saidOf, isOf] = [said.upstreams as Plain, is.upstreams as Plain];
    const upstreams = Object.keys(saidOf).flatMap((name) => changesBetween(saidOf[name], isOf[name], `upstreams.${name}`));
    return [...fields, ...upstreams].map((change) => this.withAuthor(change));
  }

  metrics(): { revision: number; drift: number; pulls: Readonly<Record<string, number>> } {
    return { revision: this.parts.history.revision, drift: this.drift().length, pulls: this.pulls };
  }

  private withAuthor(change: Change): PlannedChange {
    const last = this.parts.history.lastChangeOf(change.path);
    return { ...change, changed: last === null ? null : { id: last.id, by: last.by, at: last.at } };
  }

  private ownerOf(unit: string): 'file' | 'pull' | 'api' | 'default' {
    const { source } = this.parts;
    if (unit.startsWith('upstreams.')) return this.source.upstreams.has(unit.slice('upstreams.'.length)) ? source.kind : 'api';
    if (this.source.spec[unit] !== undefined) return source.kind;
    return this.top.spec[unit] === undefined ? 'default' : 'api';
  }

  /** What putting a document in force would change. Nothing is changed. */
  plan(raw: unknown, prune: boolean): ConfigPlan {
    const document = documentOf(raw);
    const now = this.whole();
    const target = this.targetOf(document.config, prune);
    this.refuseImpossible(now, target);
    const changes = changesBetween(this.plain(now), this.plain(target));
    const kept = prune ? [] : [...now.upstreams.keys()].filter((name) => !document.config.upstreams.has(name));
    return {
      revision: this.parts.history.revision,
      changes: changes.map((change) => this.withAuthor(change)),
      kept,
      restart: document.restart(this.source),
      warnings: this.overruled(target),
    };
  }

  private targetOf({ upstreams, ...top }: Whole['top'] & { readonly upstreams: Whole['upstreams'] }, prune: boolean): Whole {
    return { upstreams: new Map([...(prune ? [] : this.whole().upstreams), ...upstreams]), top };
  }

  /** What the source will say otherwise at its next word. */
  private overruled(target: Whole): string[] {
    const { kind, name } = this.parts.source;
    const what = this.plain(target);
    const said = this.plain({ upstreams: this.source.upstreams, top: this.source });
    const top = TOP_FIELDS.filter((field) => this.source.spec[field] !== undefined && !isDeepStrictEqual(said[field], what[field])) as string[];
    const [saidOf, whatOf] = [said.upstreams as Plain, what.upstreams as Plain];
    const upstreams = Object.keys(saidOf).filter((upstream) => !isDeepStrictEqual(saidOf[upstream], whatOf[upstream]));
    return [...top, ...upstreams.map((upstream) => `upstreams.${upstream}`)].map(
      (unit) => `${unit} is owned by the ${kind} ${name}, which says otherwise: what is applied counts until that changes there, or until a restart.`,
    );
  }

  // ── What can be changed. One change at a time; each is on disk before it is acted on. ──

  /** Puts a document in force as a whole, or nothing of it. `entry` is null when there was nothing to change. */
  apply(raw: unknown, prune: boolean, { by, ifMatch }: Caller): Promise<{ plan: ConfigPlan; entry: HistoryEntry | null }> {
    return this.inTurn(async () => {
      this.refuseStale(ifMatch);
      const plan = this.plan(raw, prune);
      const target = this.targetOf(documentOf(raw).config, prune);
      const gone = [...this.whole().upstreams.keys()].filter((name) => !target.upstreams.has(name));
      for (const name of gone) this.refuseSwapping(name);
      const entry = await this.put(target, { by, via: 'api', summary: 'applied' });
      return { plan, entry };
    });
  }

  /** Declares or changes one upstream. */
  putUpstream(config: UpstreamConfig, { by, ifMatch }: Caller): Promise<void> {
    return this.inTurn(async () => {
      const now = this.whole();
      const { name } = config;
      const summary = `${name} ${now.upstreams.has(name) ? 'changed' : 'declared'}`;
      const upstreams = new Map([...now.upstreams, [name, config] as const]);
      await this.put({ ...now, upstreams }, { by, via: 'api', summary, upstream: name, anew: new Set([name]), ifMatch });
      this.parts.declared.put(name, config.spec);
    });
  }

  removeUpstream(name: string, { by }: Caller): Promise<void> {
    return this.inTurn(async () => {
      this.refuseSwapping(name);
      const { upstreams, top } = this.whole();
      const rest = new Map([...upstreams].filter(([other]) => other !== name));
      await this.put({ upstreams: rest, top }, { by, via: 'api', summary: `${name} removed`, upstream: name });
      this.parts.declared.remove(name);
    });
  }

  /** Brings the structure of a generation back, as a new change. */
  undo(to: HistoryEntry, { by, ifMatch }: Caller): Promise<HistoryEntry | null> {
    return this.inTurn(async () => {
      this.refuseStale(ifMatch);
      const target = wholeOf(this.parts.history.documents(to.id));
      for (const name of this.whole().upstreams.keys()) if (!target.upstreams.has(name)) this.refuseSwapping(name);
      return this.put(target, { by, via: 'api', summary: `back to ${to.id}`, facts: { undo: to.id } });
    });
  }

  /**
   * Takes what the source says now: what has changed there, or all of it when it is to be enforced.
   * @returns the names of upstreams that the source changed; null = it says what it said before
   */
  reload(config: Config): Promise<string[] | null> {
    return this.inTurn(async () => {
      const { source, tell, warn } = this.parts;
      const diff = diffConfig(this.source, config);
      for (const warning of diff.warnings) tell('warn', warning);
      const enforced = config.pull.enforce && this.drift().length > 0;
      if (diff.same && !enforced) {
        this.source = config;
        return null;
      }
      const touched = [...diff.changed.map(({ upstream }) => upstream), ...diff.added];
      for (const upstream of touched) warn(upstream);
      const now = this.whole();
      const upstreams = new Map(now.upstreams);
      // What was declared or deleted by hand meanwhile is what the source says from now on.
      for (const name of diff.removed) upstreams.delete(name);
      for (const upstream of enforced ? config.upstreams.values() : touched) upstreams.set(upstream.name, upstream);
      const spec = { ...now.top.spec };
      for (const field of TOP_FIELDS) {
        if (isDeepStrictEqual(this.source.spec[field], config.spec[field]) && !(enforced && config.spec[field] !== undefined)) continue;
        if (config.spec[field] === undefined) delete spec[field];
        else spec[field] = config.spec[field];
      }
      const names = [...diff.added.map(({ name }) => name), ...diff.changed.map(({ upstream }) => upstream.name), ...diff.removed];
      const summary = enforced && diff.same ? 'what had been changed by hand is put back' : 'read again';
      await this.put({ upstreams, top: parseTop(spec) }, { by: `${source.kind} ${source.name}`, via: source.kind, summary });
      this.source = config;
      return names;
    });
  }

  private inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.turn.then(run);
    this.turn = turn.catch(() => undefined);
    return turn;
  }

  private refuseStale(ifMatch: number | undefined): void {
    const { revision, changedBy, changedAt } = this.view();
    if (ifMatch === undefined || ifMatch === revision) return;
    throw new Refusal(REFUSAL.stale, `The configuration is at revision ${revision}, changed by ${changedBy} at ${changedAt}; not at ${ifMatch}.`, {
      revision,
      changedBy,
      changedAt,
    });
  }

  private refuseSwapping(name: string): void {
    this.parts.refuseStarting(name);
    const { swap } = this.parts.fleet.get(name).driver.state;
    if (swap === null || swap.kind === 'seed' || isFinished(swap)) return;
    const { id, requestedBy } = swap;
    throw new Refusal(REFUSAL.swapRunning, `A swap of ${name}, asked for by ${requestedBy}, is running; abort it first.`, { swap: id, requestedBy });
  }

  // ── How a change is made. ──

  /** What could not be done is found before anything is: an upstream that was removed cannot be brought back with its versions. */
  private refuseImpossible(before: Whole, target: Whole): void {
    refuseRouteConflicts(target.upstreams);
    for (const [name, { policy }] of target.upstreams) {
      const known = before.upstreams.get(name);
      const recorded = this.parts.fleet.recorded.get(name);
      if (known !== undefined) refuseChangedKind(name, known.policy, policy);
      else if (recorded !== undefined) refuseOtherKind(name, policy, recorded);
    }
  }

  private async put(target: Whole, why: Why): Promise<HistoryEntry | null> {
    const { history, emit } = this.parts;
    const before = this.whole();
    this.refuseImpossible(before, target);
    if (why.via === 'api')
      for (const upstream of target.upstreams.values()) if (why.anew?.has(upstream.name) === true || isOther(before, upstream)) this.parts.admit(upstream);
    const changes = changesBetween(this.plain(before), this.plain(target));
    if (changes.length === 0 && why.anew === undefined) return null;
    const about = { by: why.by, via: why.via, kind: 'config' as const, upstream: why.upstream ?? null };
    const entry = changes.length === 0 ? null : history.record({ ...about, summary: why.summary, changes, facts: why.facts }, documentsOf(target));
    try {
      await this.act(target, why);
    } catch (error) {
      await this.act(before, { by: why.by }).catch((failure: unknown) => this.parts.tell('error', `a change could not be taken back: ${String(failure)}`));
      const summary = `${why.summary}: it failed and was taken back: ${messageOf(error)}`;
      const undone = changesBetween(this.plain(target), this.plain(this.whole()));
      if (entry !== null) history.record({ ...about, summary, changes: undone, facts: { failed: entry.id } }, documentsOf(this.whole()));
      throw error;
    }
    if (why.via === 'api') this.remember(before, target);
    emit({
      type: 'config',
      upstream: why.upstream ?? null,
      version: null,
      data: { by: why.by, action: why.summary, id: entry?.id ?? null, changes: changes.length },
    });
    return entry;
  }

  private async act(target: Whole, why: Pick<Why, 'by' | 'anew' | 'ifMatch'>): Promise<void> {
    const { fleet, publisher, webhooks, seq } = this.parts;
    const before = this.whole();
    const removed = [...before.upstreams.keys()].filter((name) => !target.upstreams.has(name));
    const changed = [...target.upstreams.values()].filter(
      (upstream) => before.upstreams.has(upstream.name) && (why.anew?.has(upstream.name) === true || isOther(before, upstream)),
    );
    const added = [...target.upstreams.values()].filter(({ name }) => !before.upstreams.has(name));
    // In one table, so that a route that moves is never missing.
    await publisher.together(() =>
      Promise.all([...removed.map((name) => fleet.remove(name)), ...changed.map((upstream) => fleet.change(upstream, why.by, why.ifMatch))]),
    );
    for (const upstream of added) await fleet.add(upstream);
    if (!isDeepStrictEqual(this.top.edge, target.top.edge)) await publisher.publishEdge(target.top.edge);
    if (!isDeepStrictEqual(this.top.webhooks, target.top.webhooks)) webhooks.set(target.top.webhooks, seq());
    this.top = target.top;
  }

  /** What was decided through the API is known at the next start, unless the source names it. */
  private remember(before: Whole, target: Whole): void {
    const { declared } = this.parts;
    for (const name of before.upstreams.keys()) if (!target.upstreams.has(name)) declared.remove(name);
    for (const upstream of target.upstreams.values()) if (isOther(before, upstream)) declared.put(upstream.name, upstream.spec);
    if (!isDeepStrictEqual(before.top.spec, target.top.spec)) declared.putTop(target.top.spec);
  }

  private whole(): Whole {
    return { upstreams: new Map([...this.parts.fleet.served].map(([name, { config }]) => [name, config])), top: this.top };
  }

  private plain({ upstreams, top }: { readonly upstreams: Whole['upstreams']; readonly top: Omit<RunningTop, 'spec'> }): Plain {
    return plainConfig(top, upstreams, this.parts.history.key);
  }
}

/** What the top level is at the start: of what the source does not name, what was applied. */
export function startingTop(config: Config, declared: Declared): RunningTop {
  const spec = { ...declared.top(), ...config.spec };
  return isDeepStrictEqual(spec, config.spec) ? config : parseTop(spec);
}

function isOther({ upstreams }: Whole, { name, policy, launch }: UpstreamConfig): boolean {
  const known = upstreams.get(name);
  return known === undefined || !isDeepStrictEqual(known.policy, policy) || !isDeepStrictEqual(known.launch, launch);
}

function documentsOf({ upstreams, top }: Whole): Documents {
  return new Map<string, unknown>([['', top.spec], ...[...upstreams].map(([name, { spec }]) => [name, spec] as const)]);
}

function wholeOf(documents: Documents): Whole {
  const upstreams = [...documents].filter(([unit]) => unit !== '').map(([name, spec]) => [name, parseUpstream(name, spec)] as const);
  return { upstreams: new Map(upstreams), top: parseTop(documents.get('') ?? {}) };
}
