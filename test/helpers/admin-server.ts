import type { Test } from 'tap';
import { request } from 'undici';
import { startAdmin } from '../../src/admin/server.ts';
import type { AdminOptions } from '../../src/admin/server.ts';
import { FakeOperations } from './fake-operations.ts';

export interface Reply {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  readonly json: unknown;
}

export interface TestAdmin {
  readonly url: string;
  readonly port: number;
  readonly operations: FakeOperations;
  readonly log: { level: string; message: string; facts: Readonly<Record<string, unknown>> }[];
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  close(): Promise<void>;
}

/** The real admin server on a free port, over fake operations. A body that is a text is sent as it is, all else as JSON. */
export async function testAdmin(t: Test, options: Partial<AdminOptions> = {}): Promise<TestAdmin> {
  const operations = new FakeOperations();
  const log: TestAdmin['log'] = [];
  const server = await startAdmin({
    host: '127.0.0.1',
    port: 0,
    tokens: [],
    operations,
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'switchyard_generation 9\n' }),
    log: (level, message, facts) => log.push({ level, message, facts }),
    ...options,
  });
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${server.address.port}`;
  const ask: TestAdmin['ask'] = async (method, path, body, headers = {}) => {
    const sent = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await request(url + path, { method: method as 'GET', body: sent, headers });
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).includes('json') && text !== '';
    return { status: answer.statusCode, headers: answer.headers, text, json: isJson ? JSON.parse(text) : null };
  };
  return { url, port: server.address.port, operations, log, ask, close: () => server.close() };
}
