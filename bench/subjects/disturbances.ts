import type { Disturbance, Place, Spans } from './subject.ts';

const EVERY_MS = 1_000;
const WITHIN_MS = 10_000;

/** Calls `step` at once and each second until it is ended; ends with what the calls gave, and waits for the last. */
function everySecond(step: () => Promise<readonly [number, number]>): Disturbance {
  const spans: (readonly [number, number])[] = [];
  let failure: Error | null = null;
  let ended = false;
  let wake = (): void => undefined;
  const run = async (): Promise<void> => {
    while (!ended) {
      const began = performance.now();
      try {
        spans.push(await step());
      } catch (error) {
        failure = error as Error;
        return;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, Math.max(0, EVERY_MS - (performance.now() - began)));
      });
    }
  };
  const running = run();
  return {
    async end(): Promise<Spans> {
      ended = true;
      wake();
      await running;
      if (failure !== null) throw failure;
      return spans;
    },
  };
}

async function ask(url: string, init: RequestInit = {}): Promise<string> {
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(WITHIN_MS) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} answered ${answer.status} ${text.slice(0, 200)}`);
  return text;
}

let version = 1;

/** A swap to a new version on the same backend, each second; its span is from the order to the version being live. */
export function swapping({ sparePort, backendPort }: Place): Disturbance {
  const upstream = `http://127.0.0.1:${sparePort}/v1/upstreams/bench`;
  return everySecond(async () => {
    const to = `v${++version}`;
    const began = Date.now();
    const body = JSON.stringify({ to, backends: [`127.0.0.1:${backendPort}`] });
    await ask(`${upstream}/swap`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    await ask(`${upstream}/versions/${to}?wait=live&timeout=5s`);
    return [began, Date.now()];
  });
}

/** The metrics are read each second. */
export function scraping({ sparePort }: Place): Disturbance {
  return everySecond(async () => {
    const began = Date.now();
    await ask(`http://127.0.0.1:${sparePort}/metrics`);
    return [began, Date.now()];
  });
}
