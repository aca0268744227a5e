import { dirname, resolve } from 'node:path';
import { inlineTop, inlineUpstream } from '../config/inline.ts';
import { loadConfig, readDocument } from '../config/load.ts';
import { refusalToCli } from './run.ts';

/**
 * Reads a configuration file as it is sent to a proxy: valid, the files it names as their content, and without what belongs to a
 * machine (admin, stateDir, demo, pull, and keys of listeners).
 */
export async function documentFrom(file: string): Promise<Record<string, unknown>> {
  try {
    const config = await loadConfig(file);
    const raw = (await readDocument(resolve(file))) as Record<string, unknown>;
    const folder = dirname(resolve(file));
    const upstreams = Object.entries((raw.upstreams ?? {}) as Record<string, unknown>);
    return {
      ...inlineTop(raw, folder),
      listeners: config.listeners.map(({ host, port, proxyProtocol, http2, tls }) => ({ host, port, proxyProtocol, http2, tls: tls !== null })),
      ...(raw.dataThreads === undefined ? {} : { dataThreads: raw.dataThreads }),
      upstreams: Object.fromEntries(upstreams.map(([name, spec]) => [name, inlineUpstream(spec, folder)])),
    };
  } catch (error) {
    throw refusalToCli(error);
  }
}
