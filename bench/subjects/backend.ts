import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHUNKED_BYTES, FILES, SMALL_ANSWER } from '../answers.ts';
import { nginxFrame } from './nginx.ts';
import { installed, nodeSubject } from './subject.ts';
import type { Subject } from './subject.ts';

export const byNginx: Subject = {
  name: 'backend (nginx)',
  base: 'backend',
  program: installed('nginx'),
  prepare({ dir, port, sparePort }) {
    const root = join(dir, 'www');
    mkdirSync(root);
    for (const [path, bytes] of Object.entries(FILES)) writeFileSync(join(root, path), 'x'.repeat(bytes));
    writeFileSync(join(root, 'chunked-body'), 'x'.repeat(CHUNKED_BYTES));
    const answer = `default_type text/plain; return 200 "${SMALL_ANSWER.replace('\n', '\\n')}";`;
    // Behind /upload and /chunked is a server of its own, so that the body is read to its end before there is an answer.
    const whole =
      'client_body_buffer_size 11m; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_method GET;';
    const inner = `unix:${join(dir, 'inner.sock')}`;
    // A filter that might change the length makes nginx answer in chunks.
    const http = `  access_log off;
  sendfile on;
  open_file_cache max=10;
  default_type text/plain;
  upstream inner { server ${inner}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen ${inner};
    root ${root};
    location = /small { ${answer} }
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    listen 127.0.0.1:${sparePort} http2 backlog=4096;
    root ${root};
    client_max_body_size 0;
    location = /small { ${answer} }
    location /r/ { ${answer} }
    location = /upload { ${whole} proxy_pass http://inner/small; }
    location = /chunked { ${whole} proxy_pass http://inner/chunked-body; sub_filter_types text/plain; sub_filter "y" "z"; }
  }`;
    const file = join(dir, 'nginx.conf');
    writeFileSync(file, nginxFrame(dir, http));
    return ['-p', dir, '-c', file, '-e', join(dir, 'error.log')];
  },
};

/** What all subjects proxy to: nginx where it is installed, so that the backend takes little of the core it shares with the load. nginx speaks HTTP/2 without TLS at its spare port. */
export const backend: Subject = byNginx.program === null ? nodeSubject('backend (node:http)', 'backend.ts') : byNginx;
/** Behind the tunnels. */
export const echo: Subject = nodeSubject('backend (ws)', 'ws-echo.ts');
