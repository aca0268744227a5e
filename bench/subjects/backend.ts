import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LARGE_BYTES, SMALL_ANSWER } from '../scenarios.ts';
import { nginxFrame } from './nginx.ts';
import { installed, nodeSubject } from './subject.ts';
import type { Subject } from './subject.ts';

const byNginx: Subject = {
  name: 'backend (nginx)',
  program: installed('nginx'),
  prepare({ dir, port }) {
    const root = join(dir, 'www');
    mkdirSync(root);
    writeFileSync(join(root, 'large'), 'x'.repeat(LARGE_BYTES));
    const answer = `default_type text/plain; return 200 "${SMALL_ANSWER.replace('\n', '\\n')}";`;
    const http = `  sendfile on;
  open_file_cache max=10;
  server {
    listen 127.0.0.1:${port} backlog=1024;
    root ${root};
    client_max_body_size 0;
    location = /small { ${answer} }
    location = /upload { ${answer} }
    location = /large { default_type text/plain; }
  }`;
    const file = join(dir, 'nginx.conf');
    writeFileSync(file, nginxFrame(dir, http));
    return ['-p', dir, '-c', file, '-e', join(dir, 'error.log')];
  },
};

/** What all subjects proxy to: nginx where it is installed, so that the backend takes little of the core it shares with the load. */
export const backend: Subject = byNginx.program === null ? nodeSubject('backend (node:http)', 'backend.ts') : byNginx;
