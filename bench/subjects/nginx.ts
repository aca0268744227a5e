import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installed } from './subject.ts';
import type { Subject } from './subject.ts';

/** What nginx needs to run in the foreground as one process out of a folder of its own. */
export function nginxFrame(dir: string, http: string): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${join(dir, kind)};`).join('\n');
  return `daemon off;
master_process off;
worker_processes 1;
pid ${join(dir, 'nginx.pid')};
error_log ${join(dir, 'error.log')} warn;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
${temp}
${http}
}
`;
}

export const nginx: Subject = {
  name: 'nginx',
  program: installed('nginx'),
  prepare({ dir, port, backendPort }) {
    const file = join(dir, 'nginx.conf');
    const http = `  upstream bench { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    client_max_body_size 0;
    location / {
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
    }
  }`;
    writeFileSync(file, nginxFrame(dir, http));
    return ['-p', dir, '-c', file, '-e', join(dir, 'error.log')];
  },
};
