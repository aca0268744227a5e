import type { Order, Told } from './standing.ts';

/** Where a worker reports, and as whom. */
export interface Identity {
  readonly admin: string;
  readonly token: string | null;
  readonly upstream: string;
  readonly member: string;
}

export interface ReportBody {
  readonly version: string;
  readonly instance: string;
  readonly seq: number;
  readonly busy: boolean;
  readonly leases: readonly string[] | number;
  readonly ready: boolean;
  readonly done: { readonly completed: number; readonly failed: number; readonly aborted: number };
  readonly generation: number;
  readonly order: Order;
}

/** The proxy has refused what a worker said. */
export class ReportRefused extends Error {
  readonly status: number;
  /** The stable code of the problem, such as `forbidden`. */
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.name = 'ReportRefused';
    this.status = status;
    this.code = code;
  }

  /** Whether it would be refused again: what is wrong is what was asked, not when. */
  get isFinal(): boolean {
    return [400, 401, 403, 404, 409].includes(this.status) && this.code !== 'members-full';
  }
}

function urlOf({ admin, upstream, member }: Identity): URL {
  const base = new URL(admin);
  base.pathname = `${base.pathname.replace(/\/$/, '')}/v1/upstreams/${encodeURIComponent(upstream)}/members/${encodeURIComponent(member)}`;
  return base;
}

function headersOf({ token }: Identity): Record<string, string> {
  return { accept: 'application/json', 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
}

/** Sends a report and reads the answer, which may be held back for `waitMs`. @throws ReportRefused, or what fetch throws. */
export async function sendReport(who: Identity, body: ReportBody, waitMs: number, signal: AbortSignal): Promise<Told> {
  const url = urlOf(who);
  if (waitMs > 0) url.searchParams.set('wait', `${Math.ceil(waitMs)}ms`);
  const answer = await fetch(url, { method: 'PUT', headers: headersOf(who), body: JSON.stringify(body), signal });
  if (answer.status !== 200) throw await refusalOf(answer);
  return (await answer.json()) as Told;
}

/** Says that this life of the worker is over. */
export async function sendGoodbye(who: Identity, instance: string, signal: AbortSignal): Promise<void> {
  const url = urlOf(who);
  url.searchParams.set('instance', instance);
  const answer = await fetch(url, { method: 'DELETE', headers: headersOf(who), signal });
  if (answer.status !== 204 && answer.status !== 404) throw await refusalOf(answer);
  await answer.body?.cancel();
}

async function refusalOf(answer: Response): Promise<ReportRefused> {
  const text = await answer.text();
  let problem: { code?: unknown; detail?: unknown } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    problem = { detail: text.slice(0, 200) };
  }
  const { code, detail } = problem;
  return new ReportRefused(
    answer.status,
    typeof code === 'string' ? code : 'unknown',
    `${answer.status}: ${typeof detail === 'string' ? detail : 'no reason was given'}`,
  );
}
