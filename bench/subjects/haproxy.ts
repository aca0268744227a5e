import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installed } from './subject.ts';
import type { Subject } from './subject.ts';

export const haproxy: Subject = {
  name: 'haproxy',
  base: 'haproxy',
  program: installed('haproxy'),
  prepare({ dir, port, backendPort }) {
    const file = join(dir, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
frontend front
  bind 127.0.0.1:${port} backlog 4096
  default_backend bench
backend bench
  server b1 127.0.0.1:${backendPort}
`,
    );
    return ['-db', '-f', file];
  },
};
