import type { ConfigPlan } from '../control/config-views.ts';
import { changeLines, noteLines } from './_changes.ts';
import { documentFrom } from './_document.ts';
import { painter } from './_terminal.ts';
import { plural } from './_text.ts';
import { DEFAULT_CONFIG } from './run.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Flag, Verb } from './verb.ts';

const CONFIG_FLAG: Flag = { type: 'string', value: 'FILE', help: `the configuration; ${DEFAULT_CONFIG} unless told` };
const PRUNE_FLAG: Flag = { type: 'boolean', help: 'removes upstreams that the file does not name' };

interface Planned {
  readonly file: string;
  readonly document: Record<string, unknown>;
  readonly plan: ConfigPlan;
}

async function planFor(call: Call, prune: boolean): Promise<Planned> {
  const file = call.text('config') ?? DEFAULT_CONFIG;
  const document = await documentFrom(file);
  const { body } = await call.api.call<ConfigPlan>('POST', '/v1/config/plan', { body: document, query: { prune: String(prune) } });
  return { file, document, plan: body };
}

function planLines({ plan }: Planned, call: Call): string[] {
  const paint = painter(call.io.stdout, call.io.env);
  const { changes } = plan;
  const title = changes.length === 0 ? 'nothing to change' : `${plural(changes.length, 'change')} to revision ${plan.revision}`;
  return [paint('bold', title), ...changeLines(changes, paint), ...noteLines(plan, paint)];
}

/** `switchyard plan`: what apply would change. */
export const planVerb: Verb = {
  name: 'plan',
  args: [],
  flags: { config: CONFIG_FLAG, prune: PRUNE_FLAG },
  summary: 'shows what apply would change on the running proxy',
  details: 'Versions and split belong to deploys: what the file says of them is not looked at.',
  examples: ['switchyard plan', 'switchyard plan --config edge.json --json'],
  run: async (call) => {
    const planned = await planFor(call, call.has('prune'));
    call.print(planned.plan, planLines(planned, call));
    return EXIT.done;
  },
};

/** `switchyard apply`: puts a file in force, all of it or nothing. */
export const applyVerb: Verb = {
  name: 'apply',
  args: [],
  flags: { config: CONFIG_FLAG, prune: PRUNE_FLAG, yes: { type: 'boolean', help: 'does not only show the plan: needed, so that nothing is applied unseen' } },
  summary: 'puts a configuration in force on the running proxy, all of it or nothing',
  details:
    'What is applied is what was planned: when somebody else has changed the configuration in between, nothing is done and the exit code is 5.\n' +
    'An applied field that the file of the proxy itself names counts until that file says otherwise, or until a restart.',
  examples: ['switchyard apply --config edge.json --yes'],
  run: async (call) => {
    const prune = call.has('prune');
    const planned = await planFor(call, prune);
    const { document, plan } = planned;
    const { io, json } = call;
    if (!json) io.stdout.write(`${planLines(planned, call).join('\n')}\n`);
    if (plan.changes.length === 0) {
      if (json) io.stdout.write(`${JSON.stringify(plan, null, 2)}\n`);
      return EXIT.done;
    }
    if (!call.has('yes')) throw new CliError(EXIT.usage, 'nothing was applied', 'apply it with: switchyard apply --yes');
    const { body } = await call.api.call<ConfigPlan>('PUT', '/v1/config', {
      body: document,
      query: { prune: String(prune) },
      ifMatch: `"${plan.revision}"`,
    });
    call.print(body, `applied: revision ${body.revision}; take it back with: switchyard undo`);
    return EXIT.done;
  },
};

/** `switchyard diff`: whether what runs is what the file says. */
export const diffVerb: Verb = {
  name: 'diff',
  args: [],
  flags: { config: CONFIG_FLAG },
  summary: 'compares what runs with a configuration file; exit code 2 when they differ',
  details: 'For each field: what the file says, what runs, and who has decided that. Upstreams that run and are not in the file count as well.',
  examples: ['switchyard diff --config edge.json'],
  run: async (call) => {
    const { file, plan } = await planFor(call, true);
    const drift = plan.changes.map(({ path, from, to, changed }) => ({ path, from: to, to: from, changed }));
    const paint = painter(call.io.stdout, call.io.env);
    const title =
      drift.length === 0 ? `no drift: what runs is what ${file} says` : paint('bold', `drift: ${plural(drift.length, 'field')} (${file} → what runs)`);
    const lines = [title, ...changeLines(drift, paint, Date.now()), ...noteLines({ ...plan, kept: [] }, paint)];
    call.print({ drift, restart: plan.restart, revision: plan.revision }, lines);
    return drift.length === 0 ? EXIT.done : EXIT.drift;
  },
};
