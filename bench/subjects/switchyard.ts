import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Subject } from './subject.ts';

/** Ours with everything on that is on by default; one data thread. */
export const switchyard: Subject = {
  name: 'switchyard',
  program: process.execPath,
  prepare({ dir, port, sparePort, backendPort }) {
    const config = {
      listeners: [{ host: '127.0.0.1', port }],
      admin: { host: '127.0.0.1', port: sparePort },
      dataThreads: 1,
      stateDir: join(dir, 'state'),
      upstreams: {
        bench: {
          routes: [{ host: '*', path: '/' }],
          health: { kind: 'tcp' },
          versions: { v1: { backends: [`127.0.0.1:${backendPort}`] } },
          live: 'v1',
        },
      },
    };
    const file = join(dir, 'proxy.config.json');
    writeFileSync(file, JSON.stringify(config));
    return [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), 'run', '--config', file, '--threads', '1', '--port', String(port)];
  },
};
