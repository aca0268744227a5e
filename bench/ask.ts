import { request } from 'node:http';
import { connect } from 'node:http2';
import { request as secureRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import type { Scenario } from './scenarios.ts';

const WITHIN_MS = 2_000;

export type Asked = Pick<Scenario, 'path' | 'method' | 'headers' | 'bodyBytes' | 'chunked' | 'speaks'>;

export interface Told {
  readonly status: number;
  readonly bytes: number;
  /** What was agreed upon: version, suite, key exchange, key of the certificate, protocol; '' without TLS. */
  readonly agreed: string;
}

/** With these all subjects answer: what they cost is to be compared, not what they prefer. */
export const AGREED = 'TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, prime256v1';

/** The client's order counts, as with the clients that measure. */
const CLIENT = { rejectUnauthorized: false, ecdhCurve: 'X25519:P-256', ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256' } as const;

function agreedOn(socket: TLSSocket): string {
  const exchange = socket.getEphemeralKeyInfo();
  const key = socket.getPeerX509Certificate()?.publicKey.asymmetricKeyDetails?.namedCurve;
  return [
    socket.getProtocol(),
    socket.getCipher().standardName,
    exchange !== null && 'name' in exchange ? exchange.name : '',
    key,
    socket.alpnProtocol || 'http/1.1',
  ].join(', ');
}

/** One answer; rejects when there is none within two seconds. */
export function ask(port: number, scenario: Asked): Promise<Told> {
  return scenario.speaks === 'h2' ? askHttp2(port, scenario) : askHttp1(port, scenario);
}

function askHttp1(port: number, scenario: Asked): Promise<Told> {
  return new Promise((resolve, reject) => {
    const framing = scenario.chunked ? { 'transfer-encoding': 'chunked' } : {};
    const headers = { ...scenario.headers, ...framing };
    const options = { host: '127.0.0.1', port, path: scenario.path, method: scenario.method, headers, agent: false, timeout: WITHIN_MS };
    const secure = scenario.speaks === 'tls';
    const call = secure ? secureRequest({ ...options, ...CLIENT, ALPNProtocols: ['http/1.1'] } as RequestOptions) : request(options);
    call.on('response', (response) => {
      const agreed = secure ? agreedOn(response.socket as TLSSocket) : '';
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes, agreed }));
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer within two seconds')));
    call.on('error', reject);
    call.end(scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined);
  });
}

function askHttp2(port: number, scenario: Asked): Promise<Told> {
  return new Promise((resolve, reject) => {
    const session = connect(`https://127.0.0.1:${port}`, CLIENT);
    session.on('error', reject);
    const call = session.request({ ...scenario.headers, ':path': scenario.path, ':method': scenario.method });
    call.setTimeout(WITHIN_MS, () => session.destroy(new Error('no answer within two seconds')));
    call.on('error', reject);
    call.on('response', ({ ':status': status = 0 }) => {
      const agreed = agreedOn(session.socket as TLSSocket);
      text(call).then((body) => resolve({ status, bytes: body.length, agreed }), reject);
    });
    call.on('close', () => session.destroy());
  });
}
