import { caddy } from './caddy.ts';
import { haproxy } from './haproxy.ts';
import { nginx, nginxVariants } from './nginx.ts';
import { nodeSubject } from './subject.ts';
import type { Subject } from './subject.ts';
import { switchyard, switchyardVariants } from './switchyard.ts';

/** A bare relay of bytes: what sockets alone cost in Node. */
export const relay = nodeSubject('tcp-relay', 'tcp-relay.ts');
export const httpProxy = nodeSubject('http-proxy', 'http-proxy.ts');

export const SUBJECTS: readonly Subject[] = [
  switchyard,
  httpProxy,
  nodeSubject('httpxy', 'httpxy.ts'),
  nodeSubject('fast-proxy', 'fast-proxy.ts'),
  nodeSubject('@fastify/http-proxy', 'fastify-http-proxy.ts'),
  nodeSubject('undici', 'undici.ts'),
  relay,
  nginx,
  haproxy,
  caddy,
];

/** The same with something on or more of it, for the scenarios that are about that. */
export const VARIANTS: readonly Subject[] = [...switchyardVariants, ...nginxVariants];
