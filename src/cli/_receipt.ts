import type { Receipt } from '../pool/upstream.ts';
import type { Paint } from './_terminal.ts';
import { plural, seconds } from './_text.ts';

/** `1204 requests started: 1203 completed, 1 aborted by the client, 0 failed, 0 killed`. */
export function outcomeText({ started, completed, clientAborted, upstreamFailed, killed }: Receipt['counts']): string {
  return `${plural(started, 'request')} started: ${completed} completed, ${clientAborted} aborted by the client, ${upstreamFailed} failed, ${killed} killed`;
}

/** A receipt in a few lines. */
export function receiptLines(receipt: Receipt, paint: Paint): string[] {
  const { http, stream, tunnel } = receipt.killedByKind;
  const killed =
    receipt.counts.killed > 0
      ? [`  ${paint('yellow', `killed at the drain deadline: ${plural(http, 'request')}, ${plural(stream, 'stream')}, ${plural(tunnel, 'tunnel')}`)}`]
      : [];
  const acks = Object.entries(receipt.acks)
    .map(([thread, generation]) => `${thread} at ${generation}`)
    .join(', ');
  return [
    `${paint('bold', `receipt  ${receipt.upstream} ${receipt.version}`)}  released ${receipt.releasedAt}`,
    `  ${outcomeText(receipt.counts)}`,
    ...killed,
    `  peak ${receipt.peakInFlight} in flight; drained in ${seconds(receipt.drainMs)}; unroutable since generation ${receipt.generation} (threads: ${acks || 'none'})`,
  ];
}
