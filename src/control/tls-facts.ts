import { HANDSHAKE_FAILURES } from '../errors/handshake.ts';
import type { ControlLedger } from '../ledger/control.ts';

/** How clients have come in since the start: handshakes by how they ended, versions of TLS and of HTTP; sentences. */
export function tlsFacts(ledger: ControlLedger): string[] {
  const { done, resumed, tls13, failed } = ledger.handshakes();
  const { http10, http11, http2 } = ledger.requests();
  const reasons = HANDSHAKE_FAILURES.map((reason, i) => ({ reason, count: failed[i] }))
    .filter(({ count }) => count > 0)
    .toSorted((a, b) => b.count - a.count);
  const lost = reasons.reduce((sum, { count }) => sum + count, 0);
  const why = lost === 0 ? '' : ` (${reasons.map(({ reason, count }) => `${count} ${reason}`).join(', ')})`;
  return [
    `TLS handshakes since the start: ${done} succeeded (${resumed} resumed; ${tls13} TLS 1.3, ${done - tls13} TLS 1.2), ${lost} failed${why}`,
    `requests since the start: ${http2} HTTP/2, ${http11} HTTP/1.1, ${http10} HTTP/1.0`,
  ];
}
