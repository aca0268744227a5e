import type { Receipt } from '../pool/upstream.ts';
import type { Paint } from './_terminal.ts';
import { plural, seconds } from './_text.ts';
import { wordsFor } from './_words.ts';

/** `1204 requests started: 1203 completed, 1 aborted by the client, 0 failed, 0 killed`. */
export function outcomeText({ started, completed, clientAborted, upstreamFailed, killed }: Receipt['counts'], kind: Receipt['kind']): string {
  if (kind === 'worker')
    return `${plural(started, 'lease')} taken: ${completed} completed, ${clientAborted} given back undone, ${upstreamFailed} failed, ${killed} killed`;
  return `${plural(started, 'request')} started: ${completed} completed, ${clientAborted} aborted by the client, ${upstreamFailed} failed, ${killed} killed`;
}

function killedText({ kind, killedByKind: { http, stream, tunnel } }: Receipt): string {
  return kind === 'worker' ? plural(http, 'lease') : [plural(http, 'request'), plural(stream, 'stream'), plural(tunnel, 'tunnel')].join(', ');
}

/** So many acks are shown each by its name. */
const NAMED_ACKS = 8;

/** `0 at 9, 1 at 9`; of hundreds of members how many are at which generation. */
function acksText(acks: Receipt['acks']): string {
  const all = Object.entries(acks);
  if (all.length <= NAMED_ACKS) return all.map(([thread, generation]) => `${thread} at ${generation}`).join(', ') || 'none';
  const generations = all.map(([, generation]) => generation);
  return [...new Set(generations)]
    .toSorted((a, b) => a - b)
    .map((generation) => `${generations.filter((one) => one === generation).length} at ${generation}`)
    .join(', ');
}

/** A receipt in a few lines. */
export function receiptLines(receipt: Receipt, paint: Paint): string[] {
  const words = wordsFor(receipt.kind);
  const killed =
    receipt.counts.killed > 0
      ? [`  ${paint('yellow', `${receipt.kind === 'worker' ? 'killed' : 'killed at the drain deadline'}: ${killedText(receipt)}`)}`]
      : [];
  return [
    `${paint('bold', `receipt  ${receipt.upstream} ${receipt.version}`)}  released ${receipt.releasedAt}`,
    `  ${outcomeText(receipt.counts, receipt.kind)}`,
    ...(receipt.mirrored > 0 ? [`  beside them ${plural(receipt.mirrored, 'copy', 'copies')} of requests for another version`] : []),
    ...killed,
    `  peak ${receipt.peakInFlight} ${words.inFlight}; drained in ${seconds(receipt.drainMs)}; ${receipt.kind === 'worker' ? `without work since generation ${receipt.generation} (members` : `unroutable since generation ${receipt.generation} (threads`}: ${acksText(receipt.acks)})`,
  ];
}
