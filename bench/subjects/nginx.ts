import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pair } from '../certificate.ts';
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
events { worker_connections 16384; }
http {
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
${temp}
${http}
}
`;
}

interface Variant {
  /** Of what: `nginx`, or `nginx, …`. */
  readonly name: string;
  readonly locations?: number;
  readonly accessLog?: boolean;
}

const CONNECTION = 'proxy_set_header Connection "";';
/** Fields are inherited only where a location sets none of its own. */
const FIELDS = `proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;`;

/** Its sessions are kept in tickets: without a cache, and with the two tickets of OpenSSL's default. */
function certificate({ cert, key }: Pair): string {
  return `ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_timeout 1h;`;
}

function nginxWith(variant: Variant): Subject {
  return {
    name: variant.name,
    base: 'nginx',
    program: installed('nginx'),
    prepare({ dir, port, backendPort, tls, h2c }) {
      const file = join(dir, 'nginx.conf');
      const locations =
        variant.locations === undefined || variant.locations === 1
          ? `    location / { ${h2c ? 'grpc_pass grpc://bench' : 'proxy_pass http://bench'}; }`
          : Array.from({ length: variant.locations }, (_, i) => `    location /r/${i}/ { proxy_pass http://bench; }`).join('\n');
      const http = `  access_log ${variant.accessLog === true ? `${join(dir, 'access.log')} combined buffer=64k flush=1s` : 'off'};
  upstream bench { server 127.0.0.1:${backendPort}; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port}${tls === null ? '' : ' ssl http2'} backlog=4096;
    ${tls === null ? '' : certificate(tls)}
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    ${CONNECTION}
    ${FIELDS}
${locations}
    location = /ws {
      proxy_set_header Connection "Upgrade";
      proxy_set_header Upgrade $http_upgrade;
      ${FIELDS}
      proxy_pass http://bench;
    }
  }`;
      writeFileSync(file, nginxFrame(dir, http));
      return ['-p', dir, '-c', file, '-e', join(dir, 'error.log')];
    },
  };
}

export const nginx = nginxWith({ name: 'nginx' });

export const nginxVariants: readonly Subject[] = [
  { name: 'nginx, 1 location' },
  { name: 'nginx, 100 locations', locations: 100 },
  { name: 'nginx, 10000 locations', locations: 10_000 },
  { name: 'nginx, access log', accessLog: true },
].map(nginxWith);
