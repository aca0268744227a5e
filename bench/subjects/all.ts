import { haproxy } from './haproxy.ts';
import { nginx } from './nginx.ts';
import { nodeSubject } from './subject.ts';
import type { Subject } from './subject.ts';
import { switchyard } from './switchyard.ts';

export const SUBJECTS: readonly Subject[] = [
  switchyard,
  nodeSubject('http-proxy', 'http-proxy.ts'),
  nodeSubject('undici', 'undici.ts'),
  nodeSubject('tcp-relay', 'tcp-relay.ts'),
  nginx,
  haproxy,
];
