/**
 * `npm run bench [-- options]`: what a request costs in each proxy that is installed here. Every subject runs in one
 * process on core 0, the load and the backend on core 1; the rounds of the subjects take turns, so that a noisy minute
 * hits all of them. The figure to compare is the CPU time per request: unlike requests/s it does not depend on how
 * fast the load is. `--help` lists the options.
 */
import { writeFileSync } from 'node:fs';
import { chart } from './chart.ts';
import { goalsTable } from './goals.ts';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { machine } from './machine.ts';
import { HELP, planOf, subjectsOf } from './plan.ts';
import type { Plan } from './plan.ts';
import type { Processes } from './processes.ts';
import { idleRowsOf, idleTable, rowsOf, table } from './report.ts';
import type { Absent, IdleRow, Row } from './report.ts';
import { Stage, measure, measureIdle } from './rounds.ts';
import type { Scenario } from './scenarios.ts';
import { tool } from './session.ts';
import { SUBJECTS } from './subjects/all.ts';
import { backend } from './subjects/backend.ts';

interface Figures {
  readonly rows: Row[];
  readonly idleRows: IdleRow[];
  readonly absent: Absent[];
}

/** Subjects that the scenario is not for. */
function notFor(scenario: Scenario, plan: Plan): Absent[] {
  const run = new Set(subjectsOf(scenario, plan.bases).map(({ name }) => name));
  const why = scenario.only?.why ?? scenario.except?.why ?? '';
  return SUBJECTS.filter(({ name }) => plan.bases.includes(name) && !run.has(name)).map(({ name }) => ({
    scenario: scenario.name,
    subject: name,
    error: why,
    expected: true,
  }));
}

async function measured(scenario: Scenario, plan: Plan, stage: Stage, load: Load, processes: Processes, dir: string): Promise<Figures> {
  const subjects = subjectsOf(scenario, plan.bases);
  const others = notFor(scenario, plan);
  if (subjects.length === 0) return { rows: [], idleRows: [], absent: others };
  if (scenario.kind === 'idle') {
    const [samples, absent] = await measureIdle(processes, dir, stage, scenario, subjects, load, plan.pace);
    const idleRows = idleRowsOf(scenario, samples);
    console.log(`\n${idleTable(scenario, idleRows, absent)}`);
    return { rows: [], idleRows, absent: [...absent, ...others] };
  }
  const [samples, absent] = await measure(stage, scenario, subjects, load, plan.pace);
  const rows = rowsOf(scenario, samples);
  console.log(`\n${table(scenario, rows, absent)}`);
  return { rows, idleRows: [], absent: [...absent, ...others] };
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const began = performance.now();
  const load = loadOf(plan.load, processes, dir);
  const { rounds, seconds, warmUp } = plan.pace;
  const setUp = { at: new Date().toISOString(), ...machine(), load: load.name, backend: backend.name, pinned: processes.pinned, rounds, seconds, warmUp };
  const pace = `${rounds} rounds of ${seconds.toFixed(2)} s after ${warmUp.toFixed(2)} s of warm-up`;
  console.log(`${setUp.cpu}, ${setUp.cores} cores, Linux ${setUp.kernel}, Node ${setUp.node}, load ${setUp.load}, ${setUp.backend}, ${pace}`);
  if (!processes.pinned) console.log('taskset is not installed: nothing is pinned to a core, so expect more noise');

  const stage = new Stage(processes, dir);
  const all: Figures = { rows: [], idleRows: [], absent: [] };
  for (const scenario of plan.scenarios) {
    const figures = await measured(scenario, plan, stage, load, processes, dir);
    all.rows.push(...figures.rows);
    all.idleRows.push(...figures.idleRows);
    all.absent.push(...figures.absent);
  }
  console.log(`\n${goalsTable(all.rows, all.idleRows)}`);
  console.log(`\n${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (plan.json !== null) writeFileSync(plan.json, `${JSON.stringify({ setUp, ...all }, null, 2)}\n`);
  if (plan.svg !== null) writeFileSync(plan.svg, chart(plan.scenarios, all.rows, all.idleRows, setUp));
  return all.absent.every(({ expected }) => expected) ? 0 : 1;
}

process.exitCode = await tool(planOf, HELP, bench);
