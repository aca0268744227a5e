import { Client, Metadata, Server, ServerCredentials, credentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Teardown } from './temp.ts';
import { PATIENCE } from './wait.ts';

const same = (bytes: Buffer): Buffer => bytes;
const method = (path: string, requestStream: boolean, responseStream: boolean): ServiceDefinition[string] => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

/** A service of raw bytes with a method of each kind. */
export const ECHO: ServiceDefinition = {
  Unary: method('/test.Echo/Unary', false, false),
  Gather: method('/test.Echo/Gather', true, false),
  Spread: method('/test.Echo/Spread', false, true),
  Chat: method('/test.Echo/Chat', true, true),
};

export const HEALTH: ServiceDefinition = { Check: method('/grpc.health.v1.Health/Check', false, false) };

/** Serves these on a port of 127.0.0.1 until the test ends. @returns its address. */
export async function grpcServer(
  t: Teardown,
  services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[],
  tls?: { cert: string; key: string },
): Promise<string> {
  const server = new Server();
  for (const [definition, implementation] of services) server.addService(definition, implementation);
  const how =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', how, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  t.teardown(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

/** Why a call has ended: the status of gRPC, and what came with it. */
export interface Ended {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** A client of ECHO. */
export class EchoClient {
  readonly client: Client;

  constructor(t: Teardown, port: number) {
    this.client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    t.teardown(() => this.client.close());
  }

  /** One message each way. @returns the answer, if there was one, and how it ended. */
  unary(
    message: string,
    { metadata = new Metadata(), deadline = Date.now() + PATIENCE }: { metadata?: Metadata; deadline?: number } = {},
  ): Promise<Ended & { answer: string }> {
    return new Promise((resolve) => {
      let answer = '';
      const call = this.client.makeUnaryRequest('/test.Echo/Unary', same, same, Buffer.from(message), metadata, { deadline }, (_, value) => {
        answer = value?.toString() ?? '';
      });
      call.on('status', (status) => setImmediate(() => resolve({ ...status, answer })));
    });
  }
}
