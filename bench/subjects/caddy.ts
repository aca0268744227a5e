import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installed } from './subject.ts';
import type { Subject } from './subject.ts';

export const caddy: Subject = {
  name: 'caddy',
  base: 'caddy',
  program: installed('caddy'),
  prepare({ dir, port, backendPort }) {
    const file = join(dir, 'caddy.json');
    const transport = { protocol: 'http', keep_alive: { max_idle_conns_per_host: 1024 } };
    const handle = [{ handler: 'reverse_proxy', transport, upstreams: [{ dial: `127.0.0.1:${backendPort}` }] }];
    const bench = { listen: [`127.0.0.1:${port}`], automatic_https: { disable: true }, routes: [{ handle }] };
    const config = {
      admin: { disabled: true, config: { persist: false } },
      storage: { module: 'file_system', root: join(dir, 'storage') },
      logging: { logs: { default: { level: 'ERROR' } } },
      apps: { http: { servers: { bench } } },
    };
    writeFileSync(file, JSON.stringify(config));
    return ['run', '--config', file];
  },
};
