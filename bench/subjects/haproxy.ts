import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installed } from './subject.ts';
import type { Subject } from './subject.ts';

export const haproxy: Subject = {
  name: 'haproxy',
  base: 'haproxy',
  program: installed('haproxy'),
  prepare({ dir, port, backendPort, tls, h2c }) {
    const file = join(dir, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 12000
  no strict-limits
  ssl-default-bind-options ssl-min-ver TLSv1.2 prefer-client-ciphers
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
frontend front
  bind 127.0.0.1:${port} backlog 4096${tls === null ? '' : ` ssl crt ${tls.both} alpn h2,http/1.1`}
  default_backend bench
backend bench
  server b1 127.0.0.1:${backendPort}${h2c ? ' proto h2' : ''}
`,
    );
    return ['-db', '-f', file];
  },
};
