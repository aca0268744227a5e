import { status as grpcStatus, type sendUnaryData } from '@grpc/grpc-js';
import t from 'tap';
import { parseUpstream } from '../../src/config/parse.ts';
import type { HealthInput } from '../../src/config/input.ts';
import type { Probe } from '../../src/health/evidence.ts';
import { probeOnce } from '../../src/health/probe.ts';
import { parseAddress } from '../../src/pool/address.ts';
import { ECHO, HEALTH, grpcServer } from '../helpers/grpc.ts';
import { FLAG, FRAME, RawH2Backend, frame, headers } from '../helpers/h2_backend.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';

async function probe(address: string, health: HealthInput = {}): Promise<Omit<Probe, 'at' | 'ms'>> {
  const { policy } = parseUpstream('web', { routes: [{}], protocol: 'h2', health: { timeout: '30s', ...health } });
  const { ok, status, error } = await probeOnce(parseAddress(address)!, policy.health, new AbortController().signal);
  return { ok, status, error };
}

const checked = (answer: Buffer) => ({ Check: (_: unknown, done: sendUnaryData<Buffer>) => done(null, answer) });
const failed = (error: string): Omit<Probe, 'at' | 'ms'> => ({ ok: false, status: null, error });

t.test('a gRPC health check', async (t) => {
  const kind = 'grpc';
  const says = async (...bytes: number[]): Promise<unknown> => probe(await grpcServer(t, [[HEALTH, checked(Buffer.from(bytes))]]), { kind });
  t.strictSame(await says(0x08, 1), { ok: true, status: null, error: null });
  t.strictSame(await says(0x08, 2), failed('the service says NOT_SERVING'));
  t.strictSame(await says(0x08, 3), failed('the service says SERVICE_UNKNOWN'));
  t.strictSame(await says(), failed('the service says UNKNOWN'));
  t.strictSame(await says(0x0a, 1), failed('the message of the answer is not valid'));
  const bare = await grpcServer(t, [[ECHO, {}]]);
  t.strictSame(await probe(bare, { kind }), failed('grpc-status UNIMPLEMENTED: the backend has no health service (grpc.health.v1)'));
  const unknown = await grpcServer(t, [
    [HEALTH, { Check: (_: unknown, done: sendUnaryData<Buffer>) => done({ code: grpcStatus.NOT_FOUND, details: 'who?' }) }],
  ]);
  t.strictSame(await probe(unknown, { kind }), failed('grpc-status NOT_FOUND: the service is not known there'));
  const long = 's'.repeat(200);
  let asked = '';
  const listening = {
    Check: (call: { request: Buffer }, done: sendUnaryData<Buffer>) => done(null, ((asked = call.request.toString('latin1')), Buffer.from([8, 1]))),
  };
  t.ok((await probe(await grpcServer(t, [[HEALTH, listening]]), { kind, service: long })).ok);
  t.equal(asked, `\n\xc8\x01${long}`);
});

t.test('what is no gRPC server, or no HTTP/2 server', async (t) => {
  const web = await RawH2Backend.start(t, (peer, id) =>
    peer.write(headers(id, [[':status', '200']]), frame(FRAME.data, FLAG.endStream, id, Buffer.from('hello'))),
  );
  t.strictSame(await probe(web.address, { kind: 'grpc' }), failed('no grpc-status: it is no gRPC server'));
  t.strictSame(await probe(web.address, { kind: 'http' }), { ok: true, status: 200, error: null });
  const missing = await RawH2Backend.start(t, (peer, id) => peer.write(headers(id, [[':status', '404']], FLAG.endStream)));
  t.strictSame(await probe(missing.address, { kind: 'http' }), { ok: false, status: 404, error: 'status 404, expected 2xx' });
  t.strictSame(await probe(missing.address, { kind: 'grpc' }), failed('status 404, expected 200 (is it a gRPC server?)'));
  const reset = await RawH2Backend.start(t, (peer, id) => peer.write(frame(FRAME.rst, 0, id, Buffer.from([0, 0, 0, 8]))));
  t.strictSame(await probe(reset.address), failed('the backend reset the request'));
  const old = await RawUpstream.start(t, undefined, { onConnection: (connection) => connection.write('HTTP/1.1 400 Bad Request\r\n\r\n') });
  t.strictSame(await probe(old.address), failed('the backend does not speak HTTP/2'));
  const silent = await RawUpstream.start(t, undefined, { onConnection: () => undefined });
  t.strictSame(await probe(silent.address, { timeout: '100ms' }), failed('no answer within 100 ms'));
});
