import type { Receipt } from '../../src/pool/upstream.ts';
import type { Version } from '../../src/pool/version.ts';

/** What is wrong with the receipt of a version that is gone, or null. */
export function receiptProblem(version: Version, receipt: Receipt | null): string | null {
  if (receipt === null) return version.phase === 'released' ? `${version.id} is released without a receipt` : null;
  const { started, completed, clientAborted, upstreamFailed, killed } = receipt.counts;
  if (started !== completed + clientAborted + upstreamFailed + killed) return `the receipt of ${version.id} breaks the conservation law`;
  const { http, stream, tunnel } = receipt.killedByKind;
  if (killed !== http + stream + tunnel) return `the receipt of ${version.id} has killed ${killed}, but by kind ${http + stream + tunnel}`;
  const early = Object.values(receipt.acks).find((ack) => ack < receipt.generation);
  return early === undefined ? null : `the receipt of ${version.id} has an ack ${early} before ${receipt.generation}`;
}
