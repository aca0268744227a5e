import { Agent, createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import httpProxy from 'http-proxy';
import { createProxyServer } from 'httpxy';
import t from 'tap';
import { Prng } from '../fuzz/prng.ts';
import { field } from '../helpers/message.ts';
import type { Message, Response } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { SeenRequest } from '../helpers/raw_upstream.ts';
import { exchanges } from './exchanges.ts';

const COUNT = 400;
const AT_A_TIME = 8;
const traffic = exchanges(COUNT, new Prng(20_260_101, 3));

/** What may differ from proxy to proxy: their own fields, hop-by-hop fields (RFC 9110 §7.6.1), and the time. */
const OWN = /^(?:x-forwarded-.*|forwarded|via|x-request-id|traceparent|connection|keep-alive|proxy-connection|transfer-encoding|date)$/;

interface Seen {
  /** What the backend got. */
  readonly request: SeenRequest;
  readonly body: string;
  /** What the client got. */
  readonly response: Response;
}

interface Subject {
  readonly name: string;
  readonly port: number;
  readonly backend: RawUpstream;
}

async function backendOf(): Promise<RawUpstream> {
  return RawUpstream.start(t, async (request, connection) => {
    await request.body;
    const { response } = traffic[Number(field(request, 'x-case'))];
    connection.write(response);
    if (/\r\nconnection: close\r\n/i.test(response.slice(0, response.indexOf('\r\n\r\n') + 2))) connection.end();
  });
}

/** A proxy of another make, in this process. */
async function peer(name: string, start: (target: string) => (request: IncomingMessage, response: ServerResponse) => void): Promise<Subject> {
  const backend = await backendOf();
  const server = createServer(start(`http://${backend.address}`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { name, port: (server.address() as AddressInfo).port, backend };
}

async function subjects(): Promise<[ours: Subject, ...others: Subject[]]> {
  const backend = await backendOf();
  const proxy = await Proxy.start(t, { dataThreads: 1, upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) } });
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const older = await peer('http-proxy', (target) => {
    // Without kept connections: what it sends too much of one request would be the beginning of another's.
    const server = httpProxy.createProxyServer({ target, xfwd: true });
    return (request, response) => server.web(request, response, undefined, () => response.destroy());
  });
  const newer = await peer('httpxy', (target) => {
    const server = createProxyServer({ target, agent, xfwd: true });
    server.on('error', (_error, _request, response) => void response?.destroy());
    return (request, response) => void server.web(request, response).catch(() => response.destroy());
  });
  return [{ name: 'switchyard', port: proxy.port, backend }, older, newer];
}

/** All exchanges through one proxy, by their number. */
async function through({ port, backend }: Subject): Promise<Seen[]> {
  const responses: Response[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < traffic.length) {
      const index = next++;
      using client = await RawClient.connect(port);
      client.write(traffic[index].request);
      responses[index] = await client.response(traffic[index].method, 20_000);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  const requests = new Map(backend.requests.map((request) => [Number(field(request, 'x-case')), request]));
  return Promise.all(responses.map(async (response, i) => ({ request: requests.get(i)!, body: (await requests.get(i)!.body).toString('latin1'), response })));
}

/** Values of each field name, in their order. */
function byName(message: Message): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [name, value] of message.fields) {
    const lower = name.toLowerCase();
    if (!OWN.test(lower)) found.set(lower, [...(found.get(lower) ?? []), value]);
  }
  return found;
}

function fieldDifferences(side: string, ours: Message, theirs: Message): string[] {
  const [a, b] = [byName(ours), byName(theirs)];
  const found: string[] = [];
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const [one, two] = [a.get(name) ?? [], b.get(name) ?? []];
    if (one.join('\n') === two.join('\n')) continue;
    if (one.length > 1 && one.join(', ') === two.join(', ')) found.push(`${side} lines joined`);
    else if (side === 'response' || name !== 'content-length') found.push(`${side} field ${name}: ${one.join()} → ${two.join()}`);
  }
  return found;
}

function framing(message: Message): string {
  if (field(message, 'transfer-encoding') !== null) return 'chunked';
  return field(message, 'content-length') === null ? 'none' : 'length';
}

/** In what two proxies differ over one exchange. */
function differences(ours: Seen, theirs: Seen): string[] {
  const found = [...fieldDifferences('request', ours.request, theirs.request), ...fieldDifferences('response', ours.response, theirs.response)];
  const { method } = ours.request;
  const pairs: readonly [string, string, string][] = [
    [`${method} framing`, framing(ours.request), framing(theirs.request)],
    ['response line', ours.response.line, theirs.response.line],
    ['response framing', framing(ours.response), framing(theirs.response)],
    ['response trailers', ours.response.trailers.join(), theirs.response.trailers.join()],
    ['interim answers', ours.response.interim.map(({ line }) => line).join(), theirs.response.interim.map(({ line }) => line).join()],
  ];
  for (const [what, a, b] of pairs) if (a !== b) found.push(`${what}: ${a} → ${b}`);
  if (ours.request.line !== theirs.request.line)
    found.push(ours.request.line.includes('//') ? 'target //' : `target ${ours.request.line} → ${theirs.request.line}`);
  if (ours.body !== theirs.body) found.push(`${method} body, ${framing(ours.request)}`);
  if (!ours.response.body.equals(theirs.response.body)) found.push('response body');
  return found;
}

const BOTH = {
  'request lines joined': 'lines of one name stay lines with us (RFC 9110 §5.3); node:http joins them',
  'response lines joined': 'the same, on the way back',
  'OPTIONS framing: none → length': 'a request without a body stays one; they add Content-Length: 0',
  'DELETE framing: none → length': 'the same',
  'response trailers: X-Sum,1 → ': 'trailers go on (RFC 9110 §6.5); they drop them',
  'interim answers: HTTP/1.1 103 Early Hints → ': '1xx answers go on (RFC 9110 §15.2); they drop them',
} as const;

/** Every difference, with its reason. */
const LISTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'http-proxy': {
    ...BOTH,
    'DELETE framing: chunked → length': 'CVE-2026-29057: it says Content-Length: 0 of a chunked DELETE and sends the body all the same',
    'DELETE body, chunked': 'the same: a backend takes the body for its next request',
    'target //': 'paths go on byte for byte (RFC 9110 §7.7); it joins slashes',
  },
  httpxy: BOTH,
};

t.test('ordinary traffic goes through us as through http-proxy and httpxy', async (t) => {
  const [ours, ...others] = await subjects();
  const own = await through(ours);
  for (const other of others) {
    const seen = await through(other);
    const found = new Map<string, number[]>();
    for (const [i, one] of own.entries()) for (const what of differences(one, seen[i])) found.set(what, [...(found.get(what) ?? []), i]);
    const unlisted = [...found].filter(([what]) => LISTED[other.name][what] === undefined);
    const shown = unlisted.map(([what, cases]) => `${what} in ${cases.length}, first ${JSON.stringify(traffic[cases[0]]).slice(0, 600)}`);
    t.strictSame(shown, [], `${other.name}: every difference is listed with its reason`);
    t.strictSame(
      Object.keys(LISTED[other.name]).filter((what) => !found.has(what)),
      [],
      `${other.name}: what is listed occurs`,
    );
  }
});

t.test('the traffic is ordinary', async (t) => {
  for (const [i, { request, response }] of traffic.entries()) {
    if (!/^[A-Z]+ \S+ HTTP\/1\.1\r\n/.test(request) || !response.includes('\r\n\r\n')) t.fail(`exchange ${i} is not well-formed`);
  }
  t.ok(new Set(traffic.map(({ method }) => method)).size > 6);
});
