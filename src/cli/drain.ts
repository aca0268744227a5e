import type { UpstreamView, VersionView } from '../control/operations.ts';
import { parseAddress } from '../pool/address.ts';
import { flightText } from './_steps.ts';
import { upstreamPath } from './_paths.ts';
import { EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

async function drainBackend({ args: [upstream, address], api, print }: Call): Promise<number> {
  const { body } = await api.call<UpstreamView>('POST', upstreamPath(upstream, 'backends', address, 'drain'), { body: {} });
  const inFlight = body.versions
    .flatMap(({ backends }) => backends)
    .filter((backend) => backend.address === address)
    .reduce((sum, backend) => sum + backend.inFlight, 0);
  print(body, `${upstream}  ${address} gets no new requests; ${inFlight} in flight`);
  return EXIT.done;
}

async function drainVersion({ args: [upstream, id], api, print }: Call): Promise<number> {
  const { body } = await api.call<VersionView>('DELETE', upstreamPath(upstream, 'versions', id));
  const wait = body.phase === 'draining' ? `\n  wait for it with: switchyard wait ${upstream} ${id} --for released` : '';
  print(body, `${upstream}  ${id} is ${body.phase}; ${flightText(body)}${wait}`);
  return EXIT.done;
}

/** `switchyard drain`: lets a version that is not live go, or takes one backend out of the rotation. */
export const drainVerb: Verb = {
  name: 'drain',
  args: [
    { name: 'UPSTREAM', required: true },
    { name: 'ID|BACKEND', required: true },
  ],
  flags: {},
  summary: 'drains and releases a version that is not live, or stops one backend of a live one',
  details:
    'A version that is not live is drained, released and gets its receipt; one that is being admitted is rejected. A backend of a live version gets no new requests until its version goes or the proxy is started again; the last available one of a version is never taken.',
  examples: ['switchyard drain web v3', 'switchyard drain web 10.0.0.7:8080'],
  see: ['wait', 'explain'],
  run: async (call) => (parseAddress(call.args[1]) === null ? drainVersion(call) : drainBackend(call)),
};
