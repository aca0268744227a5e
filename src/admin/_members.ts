import { z } from 'zod';
import { reportOf } from '../members/report.ts';
import { endpoint } from './_endpoint.ts';
import type { Answer, Call, Endpoint } from './_endpoint.ts';
import { GoodbyeQuery, MemberParams, NoQuery, ReportBody, ReportQuery, UpstreamParams } from './_inputs.ts';
import { MemberView, OrderView } from './_views.ts';

async function takeReport(call: Call<z.output<typeof MemberParams>, z.output<typeof ReportQuery>, z.output<typeof ReportBody>>): Promise<Answer> {
  const { params, query, body, operations, signal } = call;
  return { status: 200, json: await operations.report(params.upstream, params.member, reportOf(body), query.wait, signal) };
}

const WORKERS_ONLY = { 404: ['no-such-upstream'], 409: ['not-of-workers'] };

/** Endpoints that the workers of a queue call, and those about them. */
export const MEMBERS: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/members',
    id: 'listMembers',
    summary: 'The members of a worker upstream: what each is told, what it follows and what it has in hand',
    scope: 'read',
    params: UpstreamParams,
    query: NoQuery,
    body: null,
    problems: WORKERS_ONLY,
    answers: { 200: { text: 'Every member', schema: z.array(MemberView) } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.members(params.upstream) }),
  }),
  endpoint({
    method: 'PUT',
    path: '/v1/upstreams/{upstream}/members/{member}',
    id: 'reportMember',
    summary: 'A member reports, and is told what to do; with `wait`, a long poll for other orders than those that it follows',
    scope: 'report',
    params: MemberParams,
    query: ReportQuery,
    body: ReportBody,
    problems: { 404: ['no-such-upstream'], 409: ['not-of-workers', 'members-full'], 410: ['member-expired'], 429: ['too-many-reports'] },
    answers: { 200: { text: 'What it is to do', schema: OrderView } },
    handle: takeReport,
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/upstreams/{upstream}/members/{member}',
    id: 'leaveMember',
    summary: 'A member will not come back; what it has in hand is counted as killed',
    scope: 'report',
    params: MemberParams,
    query: GoodbyeQuery,
    body: null,
    problems: { ...WORKERS_ONLY, 404: ['no-such-upstream', 'no-such-member'] },
    answers: { 204: { text: 'It is gone', schema: null } },
    handle: ({ operations, params, query }) => {
      operations.leave(params.upstream, params.member, query.instance ?? null);
      return { status: 204 };
    },
  }),
];
