import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Pair } from '../certificate.ts';

export interface Place {
  /** A folder of this subject's own, for its configuration. */
  readonly dir: string;
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  /** One more port for it. */
  readonly sparePort: number;
  /** Where the backend listens, on 127.0.0.1. */
  readonly backendPort: number;
  /** The certificate it shows, in front of HTTP/1.1 and HTTP/2; null = it speaks HTTP/1.1 without TLS. */
  readonly tls: Pair | null;
  /** The backend speaks HTTP/2 without TLS. */
  readonly h2c: boolean;
}

/** Spans of epoch milliseconds in which something happened to the subject, such as a cutover. */
export type Spans = readonly (readonly [number, number])[];

/** What is done to a subject while it is under load. */
export interface Disturbance {
  /** Ends it; rejects when it did not succeed. */
  end(): Promise<Spans>;
}

/** A proxy under measurement: one process, kept connections to the backend, no access log unless its name says so. */
export interface Subject {
  readonly name: string;
  /** The proxy it is, of which this may be a variant. */
  readonly base: string;
  /** Null when it cannot be run here. */
  readonly program: string | null;
  /** It may use both cores. */
  readonly bothCores?: boolean;
  /** Writes its configuration, if any, and gives the arguments to start it with in the foreground. */
  prepare(place: Place): readonly string[];
  /** Begins what happens to it under load. */
  disturb?(place: Place): Disturbance;
}

/** How an error ends that says what is missing here. */
export const NOT_INSTALLED = 'not installed';

/** Where a program is installed, or null. */
export function installed(name: string): string | null {
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return places.map((place) => join(place, name)).find((path) => existsSync(path)) ?? null;
}

/** A proxy of bench/servers that is told its port and the backend's, and the certificate and key if it is to speak TLS. */
export function nodeSubject(name: string, server: string): Subject {
  const script = fileURLToPath(new URL(`../servers/${server}`, import.meta.url));
  return {
    name,
    base: name,
    program: process.execPath,
    prepare: ({ port, backendPort, tls }) => [script, String(port), String(backendPort), ...(tls === null ? [] : [tls.cert, tls.key])],
  };
}
