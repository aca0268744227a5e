import type { Duration } from './input.ts';

/** How processes are started and ended. What a version does not say, the `launch` of its upstream does. */
export interface LaunchInput {
  /** `process` (default): programs on this machine; `docker`: containers; `exec`: a program of yours starts and stops them. */
  driver?: 'process' | 'docker' | 'exec';
  /** How many; default 1. */
  replicas?: number;
  /** Program and arguments, without a shell. Of `docker`: instead of the image's own. */
  command?: readonly string[];
  /** Default: the folder of the configuration file. */
  cwd?: string;
  /** Beside what the proxy's own environment has (`process`); PORT and SWITCHYARD_… are set for you. */
  env?: Readonly<Record<string, string>>;
  /** Until it listens; default 30s. */
  startTimeout?: Duration;
  /** Between SIGTERM and SIGKILL; default 10s. */
  stopTimeout?: Duration;
  /** Starts that may fail before the version is given up; default 3. */
  attempts?: number;
  /** docker. */
  image?: string;
  /** docker: where the program in the container listens, its PORT; default 8080. */
  port?: number;
  /** docker: its address in this network is the backend; default: a port published on 127.0.0.1. */
  network?: string;
  /** docker: default `missing`. */
  pull?: 'missing' | 'always' | 'never';
  /** docker: default `/var/run/docker.sock`. */
  socket?: string;
  /** exec: handed on to the program. */
  options?: Readonly<Record<string, unknown>>;
}
