import t from 'tap';
import { bar, cut, LiveLine, Screen } from '../../src/cli/_terminal.ts';
import { stageLine, stageOf } from '../../src/cli/_progress.ts';
import { Rates } from '../../src/cli/_rates.ts';
import { upstreamDetails, watchedLines } from '../../src/cli/_upstream.ts';
import type { Io } from '../../src/cli/verb.ts';
import type { SwapView } from '../../src/control/operations.ts';
import { AT, FakeOperations, versionView } from '../helpers/fake-operations.ts';

function capture(isTTY: boolean, more: { columns?: number; rows?: number } = {}): { io: Io; out: () => string } {
  let out = '';
  const stdout = { write: (text: string) => void (out += text), isTTY, ...more };
  return { io: { stdout, stderr: stdout, env: {}, onInterrupt: () => () => undefined }, out: () => out };
}

const swap: SwapView = {
  id: 's',
  upstream: 'web',
  kind: 'swap',
  upstreamKind: 'web',
  from: 'v1',
  to: 'v2',
  state: 'cutting-over',
  paused: false,
  finished: false,
  killed: 0,
  weight: 25,
  requestedBy: 'test',
  reason: null,
  stageEndsAt: '2026-01-02T03:04:15.000Z',
  verdict: null,
  gate: null,
  steps: [{ name: 'weight 25', at: AT, evidence: {} }],
  stopping: [],
  receipt: null,
};
const NOW = Date.parse(AT);

t.test('in a log nothing is drawn over, and a line comes when nothing was said for ten seconds', async (t) => {
  const { io, out } = capture(false);
  let now = 0;
  const line = new LiveLine(io, () => now);
  line.print('begun');
  for (now = 0; now <= 25_000; now += 1_000) {
    const at = now;
    line.draw((sign) => `${sign} waiting at ${at}`);
  }
  line.clear();
  t.equal(out(), 'begun\n… waiting at 10000\n… waiting at 20000\n');
});

t.test('a terminal line moves by itself and is cut to the width', async (t) => {
  const { io, out } = capture(true, { columns: 12 });
  const line = new LiveLine(io);
  line.draw((sign) => `${sign} 0123456789abcdef`);
  while (!out().includes('⠹')) await new Promise((resolve) => setImmediate(resolve));
  line.clear();
  const after = out();
  t.match(after, /^\r\x1b\[2K⠋ 012345678\r\x1b\[2K⠙ 012345678/);
  await new Promise((resolve) => setTimeout(resolve, 250));
  t.equal(out(), after, 'nothing is drawn after clear');
});

t.test('cut counts no colours and leaves none open', async (t) => {
  t.equal(cut('\x1b[31mabc\x1b[0m', 3), '\x1b[31mabc\x1b[0m');
  t.equal(cut('\x1b[31mabcd\x1b[0mef', 3), '\x1b[31mabc\x1b[0m');
  t.equal(cut('äöü€', 2), 'äö');
});

t.test('bars', async (t) => {
  t.equal(bar(0, 4), '░░░░');
  t.equal(bar(0.5, 4), '██░░');
  t.equal(bar(7, 4), '████');
  t.equal(bar(-1, 4), '░░░░');
});

t.test('a screen that is too small says how much is missing', async (t) => {
  const { io, out } = capture(true, { columns: 20, rows: 4 });
  const screen = new Screen(io);
  screen.draw('a\nb\nc\nd\ne');
  screen.end();
  t.match(out(), /a\x1b\[0K\nb\x1b\[0K\n… 3 more lines/);
  t.ok(out().startsWith('\x1b[?25l') && out().endsWith('\x1b[?25h'), 'the cursor comes back');
});

t.test('the stages of a swap', async (t) => {
  const plain = (_: string, text: string): string => text;
  t.strictSame(stageOf(swap, null, NOW + 2_500, 0), { label: 'canary', text: '25 % on v2, held', share: 0.25, left: 7_500, said: null });
  t.equal(
    stageLine(stageOf(swap, null, NOW + 2_500, 0)!, '*', plain, true),
    '  * canary        25 % on v2, held                █████░░░░░░░░░░░░░░░  7.5 s left',
  );
  t.equal(stageLine(stageOf(swap, null, NOW + 2_500, 0)!, '…', plain, false), '  … canary        25 % on v2, held                at most 7.5 s left');
  t.match(stageOf({ ...swap, stageEndsAt: null }, null, NOW, 0), { text: '25 % until promoted: switchyard promote web', share: null, left: null });
  t.match(stageOf({ ...swap, paused: true }, null, NOW, 0), { label: 'paused', text: 'at 25 %: switchyard resume web' });
  const version = versionView('v1', { inFlight: 1 });
  t.match(stageOf({ ...swap, state: 'draining' }, version, NOW, 4), { label: 'draining', text: 'v1: 1 in flight', share: 0.75 });
  t.match(stageOf({ ...swap, state: 'admitting' }, version, NOW, 0), { label: 'admitting', text: '2 of 2 backends healthy', share: 1 });
  t.equal(stageOf({ ...swap, state: 'admitting' }, null, NOW, 0), null);
});

t.test('rates come from counts, over the last seconds, version by version', async (t) => {
  const rates = new Rates();
  const { web } = new FakeOperations();
  const counts = (started: number, upstreamFailed: number) => ({
    ...web,
    versions: [versionView('v1', { counts: { ...web.versions[0].counts, started, upstreamFailed } })],
  });
  rates.take([counts(100, 0)], 0);
  t.equal(rates.of('web', 'v1'), null, 'one look is none');
  rates.take([counts(300, 4)], 2_000);
  t.strictSame(rates.of('web', 'v1'), { requests: 100, failed: 2 });
  rates.take([counts(10, 0)], 3_000);
  t.equal(rates.of('web', 'v1'), null, 'a proxy that was started again counts anew');
  rates.take([counts(20, 0)], 4_000);
  rates.take([counts(20, 0)], 9_500);
  t.equal(rates.of('web', 'v1'), null, 'old looks are forgotten');
  rates.take([counts(20, 0)], 10_000);
  const watched = watchedLines({ ...counts(20, 0), swap }, (_, text) => text, NOW, rates, '*').join('\n');
  t.match(watched, /swap v1 → v2: cutting-over at 25 %\n {2}\* canary .* 10\.0 s left\n/);
  t.match(watched, /REQ\/S {2}FAILED\/S {2}SHARE\n.* 0\.0 +0\.0 {2}█{20}/s);
  t.match(upstreamDetails(web, (_, text) => text, NOW).join('\n'), /BACKEND OF v1/);
});
