import { CHUNK, ChunkedReader } from '../../src/http/chunked.ts';
import { forwarderOf, writeRequest } from '../../src/http/forward-request.ts';
import { writeResponse } from '../../src/http/forward-response.ts';
import { RequestHead } from '../../src/http/request-head.ts';
import { ResponseHead } from '../../src/http/response-head.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { SCENARIOS } from '../scenarios.ts';
import { repeated } from './case.ts';
import type { Case } from './case.ts';

export const LIMITS = { head: 32_768, headers: 100, target: 8_192 };

/** The bytes of a scenario's GET. */
export function requestBytes(scenario: string, path = '/small'): Buffer {
  const headers = { host: '127.0.0.1:8080', ...SCENARIOS.find(({ name }) => name === scenario)?.headers };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
}

const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n',
  'latin1',
);
const CHUNKS = Buffer.from(`${`400\r\n${'x'.repeat(1024)}\r\n`.repeat(16)}0\r\n\r\n`, 'latin1');

function parsed(bytes: Buffer): RequestHead {
  const head = new RequestHead(LIMITS);
  head.begin(0);
  if (!head.parse(bytes, bytes.length)) throw new Error('the request of the bench is not valid');
  return head;
}

function parsing(scenario: string): Case {
  const bytes = requestBytes(scenario);
  const head = parsed(bytes);
  return repeated(`request head, ${scenario} (${bytes.length} bytes)`, () => {
    head.begin(0);
    return head.parse(bytes, bytes.length) ? head.fields.count : NaN;
  });
}

function writing(scenario: string): Case {
  const bytes = requestBytes(scenario);
  const head = parsed(bytes);
  const out = new HeadWriter();
  const by = forwarderOf({ address: '127.0.0.1', port: 40_000, localAddress: '127.0.0.1', localPort: 8080, secure: false }, false);
  const random = Buffer.alloc(40, 7);
  return repeated(`write request head, ${scenario}`, () => {
    out.begin();
    writeRequest(out, head, bytes, by, random, 0);
    return out.length;
  });
}

function response(): Case[] {
  const asked = { head: false, upgrade: false };
  const head = new ResponseHead();
  const out = new HeadWriter();
  head.begin(0);
  if (!head.parse(RESPONSE, RESPONSE.length, asked)) throw new Error('the response of the bench is not valid');
  const how = { minor: 1, body: head.body, close: false, date: Buffer.alloc(0), extra: '', turn: null } as const;
  return [
    repeated(`response head (${RESPONSE.length} bytes)`, () => {
      head.begin(0);
      return head.parse(RESPONSE, RESPONSE.length, asked) ? head.status : NaN;
    }),
    repeated('write response head', () => {
      out.begin();
      writeResponse(out, head, RESPONSE, how);
      return out.length;
    }),
  ];
}

function chunks(): Case {
  const reader = new ChunkedReader();
  return repeated('chunk reader, 16 chunks of 1 KB', () => {
    reader.reset();
    let found = reader.next(CHUNKS, 0, CHUNKS.length);
    while (found === CHUNK.data) found = reader.next(CHUNKS, reader.at, CHUNKS.length);
    return found === CHUNK.end ? 1 : NaN;
  });
}

export function codecCases(): Case[] {
  return [parsing('small'), parsing('browser'), ...response(), writing('small'), writing('browser'), chunks()];
}
