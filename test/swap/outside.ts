import type { Checked } from '../../src/pool/upstream.ts';
import type { GateAnswer, GateQuestion } from '../../src/swap/ports.ts';

/** Who is asked outside: gates by name, and a Prometheus server. */
export class Outside {
  readonly asked: GateQuestion[] = [];
  /** What each gate says from now on; one that is not here does not answer. */
  readonly says = new Map<string, GateAnswer>();
  checked: Checked = { value: null, problem: 'connection refused' };

  say(gate: string, decision: GateAnswer['decision'], reason = `because ${decision}`): void {
    this.says.set(gate, { decision, reason });
  }

  ask(question: GateQuestion): Promise<GateAnswer> {
    this.asked.push(question);
    const answer = this.says.get(question.gate);
    return answer === undefined ? new Promise(() => undefined) : Promise.resolve(answer);
  }
}
