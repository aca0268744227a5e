import type { LaunchSpec } from '../config/launch.ts';
import type { SwapRequest } from '../swap/ports.ts';

/** What is deployed and how; `launch` as it was sent: what it does not say, the upstream's configuration does. */
export interface DeployRequest {
  readonly version: string;
  readonly launch: unknown;
  /** Instead of `launch`: as the configuration has declared this very version. */
  readonly spec?: LaunchSpec;
  readonly swap: Omit<SwapRequest, 'to' | 'backends' | 'started'>;
}

/** The values of `env` are not shown. */
export interface LaunchView {
  driver: 'process' | 'docker' | 'exec';
  replicas: number;
  command: string[];
  cwd: string | null;
  image: string | null;
  env: Record<string, string>;
}

export interface ProcessView {
  replica: number;
  driver: 'process' | 'docker' | 'exec';
  /** null = it does not run, or is no process of this machine. */
  pid: number | null;
  /** What the driver calls it; null for processes. */
  id: string | null;
  port: number | null;
  address: string | null;
  /** `waiting` = for another start; `looping` = so, and it has ended again and again. */
  state: 'starting' | 'running' | 'waiting' | 'looping' | 'stopping';
  restarts: number;
  /** When it was started; null = it does not run. */
  since: string | null;
  /** How it ended last; null = it has not, that is known. */
  lastEnd: { code: number | null; signal: string | null } | null;
  problem: string | null;
}

export interface DeployView {
  /** Also the id of its swap, once there is one. */
  id: string;
  upstream: string;
  version: string;
  state: 'starting' | 'swapping' | 'failed';
  requestedBy: string;
  requestedAt: string;
  /** Why it has failed. */
  reason: string | null;
  /** Of the refusal that it has failed by; null = none. */
  code: string | null;
  /** Id of its swap; null = there is none yet, or none was needed. */
  swap: string | null;
  processes: ProcessView[];
  /** Processes that could not be started, with what they have printed last. */
  failed: { replica: number; problem: string; output: string[] }[];
  /** It has failed, and what was started for it could not be stopped in time: that is tried again. */
  stopping: boolean;
}

export interface OutputView {
  upstream: string;
  version: string;
  /** Whether anything of it runs, or is to. */
  running: boolean;
  /** For `after`: what is printed from here on. */
  cursor: string;
  replicas: OutputOf[];
}

export interface OutputOf {
  replica: number;
  lines: string[];
  /** Bytes that it has printed in all, and those of them that are not kept any more; of containers and programs of the user's those that were kept at their end. */
  bytes: number;
  dropped: number;
  /** Of what was printed after the cursor of the question, bytes that are not kept any more. */
  missed: number;
}

/** What is asked of the output of a version; `replica` null = of all. */
export interface OutputAsk {
  readonly replica: number | null;
  readonly lines: number;
  /** Only what was printed after this cursor; null = the last lines. */
  readonly after: string | null;
  /** With `after`: milliseconds that the answer may wait for something to be printed. */
  readonly waitMs: number;
}
