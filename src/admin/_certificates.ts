import { z } from 'zod';
import { endpoint } from './_endpoint.ts';
import type { Endpoint } from './_endpoint.ts';
import { NoParams, NoQuery, Nothing } from './_inputs.ts';
import { CertificateView, ReloadView } from './_views.ts';

/** Endpoints about the certificates of listeners. */
export const CERTIFICATES: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/certificates',
    id: 'listCertificates',
    summary: 'The certificates that listeners show, and what became of the last try to replace each',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'Every certificate', schema: z.array(CertificateView) } },
    handle: ({ operations }) => ({ status: 200, json: operations.certificates() }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/certificates/reload',
    id: 'reloadCertificates',
    summary: 'Reads the files of all certificates again; answers when every data thread shows what was good',
    scope: 'operate',
    params: NoParams,
    query: NoQuery,
    body: Nothing,
    bodyOptional: true,
    problems: {},
    answers: { 200: { text: 'What was replaced, and what was refused and why', schema: ReloadView } },
    handle: async ({ operations, caller }) => ({ status: 200, json: await operations.reloadCertificates(caller) }),
  }),
];
