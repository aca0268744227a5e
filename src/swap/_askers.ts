import type { UpstreamPolicy } from '../pool/policy.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import { weightOf } from '../pool/split.ts';
import { waits } from './_gates.ts';
import { runningSwap } from './_turn.ts';
import type { SwapEvent } from './events.ts';
import type { GateQuestion, SwapPorts } from './ports.ts';

/** Something outside that a state waits for: asked until the state waits for it no more. */
interface Ask {
  readonly key: string;
  readonly interval: number;
  /** Asks once. Resolves with what was answered, as an event. */
  once(ports: SwapPorts, signal: AbortSignal): Promise<SwapEvent>;
}

/** Everything that has to be asked while the upstream is in this state. */
export function asksOf(state: UpstreamState, policy: UpstreamPolicy): Ask[] {
  return [...gateAsks(state, policy), ...measureAsks(state)];
}

function gateAsks(state: UpstreamState, policy: UpstreamPolicy): Ask[] {
  return waits(state).flatMap(({ id, gates: { waiting } }) => {
    const gate = policy.gates.find(({ name }) => name === waiting?.name);
    if (waiting === null || gate === undefined) return [];
    const question = questionOf(state, id, waiting.key);
    const once = async (ports: SwapPorts, signal: AbortSignal): Promise<SwapEvent> => {
      const { decision, reason } = await ports.askGate(gate, question, signal);
      return { type: 'answered', key: waiting.key, decision, reason };
    };
    return [{ key: waiting.key, interval: gate.interval, once }];
  });
}

function questionOf(state: UpstreamState, released: string | null, key: string): GateQuestion {
  const { swap, name } = state;
  const wait = waits(state).find(({ gates }) => gates.waiting?.key === key)?.gates.waiting;
  const weight = swap === null ? 0 : weightOf(state.split, swap.to);
  const next = swap === null ? null : (swap.canary.at(swap.at)?.weight ?? 100);
  return {
    id: key,
    gate: wait?.name ?? '',
    before: wait?.at ?? 'step',
    upstream: name,
    version: released ?? swap?.to ?? '',
    since: new Date(wait?.since ?? 0).toISOString(),
    until: new Date(wait?.until ?? 0).toISOString(),
    swap: swap === null ? null : { id: swap.id, from: swap.from, to: swap.to, state: swap.state, requestedBy: swap.requestedBy, weight },
    nextWeight: wait?.at === 'step' ? next : null,
    lastStep: swap?.steps.findLast((step) => step.name !== 'gate') ?? null,
  };
}

function measureAsks(state: UpstreamState): Ask[] {
  const swap = runningSwap(state);
  const check = swap?.analysis?.prometheus ?? null;
  if (swap === null || check === null || swap.window === null) return [];
  const { since } = swap.window;
  const names = { upstream: state.name, version: swap.to, stable: swap.from.at(0) ?? '' };
  const once = async (ports: SwapPorts, signal: AbortSignal): Promise<SwapEvent> => ({
    type: 'measured',
    since,
    checked: await ports.measure(check, names, signal),
  });
  return [{ key: `measure ${swap.id} ${since}`, interval: check.interval, once }];
}

/** Asks what a state waits for, each thing one question at a time, and posts what is answered. */
export class Askers {
  private readonly ports: SwapPorts;
  private readonly post: (event: SwapEvent) => void;
  private readonly running = new Map<string, { ask: Ask; readonly stop: AbortController; cancel: () => void }>();

  constructor(ports: SwapPorts, post: (event: SwapEvent) => void) {
    this.ports = ports;
    this.post = post;
  }

  /** Begins with what is new in the list, and ends what is not in it any more. */
  keep(asks: readonly Ask[]): void {
    for (const key of this.running.keys()) if (!asks.some((ask) => ask.key === key)) this.end(key);
    for (const ask of asks) {
      const known = this.running.get(ask.key);
      if (known !== undefined) known.ask = ask;
      else this.begin(ask);
    }
  }

  close(): void {
    for (const key of this.running.keys()) this.end(key);
  }

  private begin(ask: Ask): void {
    this.running.set(ask.key, { ask, stop: new AbortController(), cancel: () => undefined });
    this.again(ask.key);
  }

  private again(key: string): void {
    const one = this.running.get(key);
    if (one === undefined) return;
    const askLater = (): void => {
      if (this.running.get(key) === one) one.cancel = this.ports.after(one.ask.interval, () => this.again(key));
    };
    one.ask.once(this.ports, one.stop.signal).then(
      (event) => {
        if (this.running.get(key) !== one) return;
        this.post(event);
        askLater();
      },
      // The ports tell of what they cannot reach; what throws is asked again.
      askLater,
    );
  }

  private end(key: string): void {
    const one = this.running.get(key);
    this.running.delete(key);
    one?.stop.abort();
    one?.cancel();
  }
}
