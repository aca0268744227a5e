import type { Change } from '../config/plain.ts';
import type { HistoryEntry } from '../history/history.ts';
import type { SwapView, UpstreamView } from './operations.ts';

/** A field that would change, or has; `changed`: who has last decided what is in force. */
export interface PlannedChange extends Change {
  readonly changed: { id: number; by: string; at: string } | null;
}

/** From: what the source says; to: what is in force. */
export type DriftView = PlannedChange;

export interface ConfigPlan {
  /** That it was made for: the ETag. */
  revision: number;
  changes: PlannedChange[];
  /** Upstreams that run and are not in the document: they stay. */
  kept: string[];
  /** Fields that differ and take effect only at a restart of the proxy with a file that says so. */
  restart: string[];
  warnings: string[];
}

export interface ConfigView {
  revision: number;
  changedBy: string;
  changedAt: string;
  source: { kind: 'file' | 'pull'; name: string; enforce: boolean };
  /** What is in force, with all defaults; secrets are masked. */
  config: Record<string, unknown>;
  /** By field of the top level and upstream. */
  owners: Record<string, 'file' | 'pull' | 'api' | 'default'>;
  drift: DriftView[];
}

/** What is to be brought back; both null = the configuration before the last. */
export interface UndoAsk {
  /** What was after this change. */
  readonly to: number | null;
  /** What was before this swap or deploy. */
  readonly of: number | null;
}

/** What an undo has done: `config` = the structure is as it was; `rollback` = a swap back was started; `split` = it was set. */
export interface UndoView {
  kind: 'config' | 'rollback' | 'split';
  /** The change that was asked about. */
  to: number;
  /** Of the change that it is; null = nothing had to be changed. */
  entry: HistoryEntry | null;
  swap: SwapView | null;
  upstream: UpstreamView | null;
}
