import { AnswerRules } from '../http/answer-rules.ts';
import { bytes } from '../http/chars.ts';
import { FieldEdits } from '../http/edit-fields.ts';
import { CompiledPage } from '../http/pages.ts';
import { PathRule } from '../http/path-rule.ts';
import { Redirect } from '../http/redirect.ts';
import type { FieldChanges, Maintenance, RouteRules } from '../pool/rules.ts';
import { AddressList } from './trust.ts';

/** Where requests of one host pattern and path go, and what is done with them. */
export class CompiledRoute {
  readonly upstream: string;
  readonly rules: CompiledRules | null;

  constructor(upstream: string, rules: CompiledRules | null) {
    this.upstream = upstream;
    this.rules = rules;
  }

  /** Whether it makes no difference by which of two routes a request goes. */
  same(other: CompiledRoute): boolean {
    return this === other || (this.upstream === other.upstream && this.rules === null && other.rules === null);
  }
}

/** Rules of a route, compiled with the table: a request only reads them. null = nothing of the kind. */
export class CompiledRules {
  readonly redirect: Redirect | null;
  readonly rewrite: PathRule | null;
  readonly request: FieldEdits | null;
  readonly answer: AnswerRules | null;
  readonly allow: string;
  /** undefined = the upstream's. */
  readonly body: number | null | undefined;
  /** undefined = the upstream's. */
  readonly maintenance: CompiledMaintenance | null | undefined;
  private readonly methods: readonly Uint8Array[] | null;

  constructor({ redirect, rewrite, headers, methods, limits, security, maintenance }: RouteRules, path: string) {
    this.redirect = redirect === null ? null : new Redirect(redirect, path);
    this.rewrite = rewrite === null ? null : new PathRule(path, rewrite);
    this.request = isEmpty(headers.request) ? null : new FieldEdits(headers.request);
    this.answer = isEmpty(headers.response) && security === null ? null : new AnswerRules(headers.response, security);
    this.methods = methods === null ? null : methods.map(bytes);
    this.allow = methods === null ? '' : methods.join(', ');
    this.body = limits === null ? undefined : limits.body;
    if (maintenance !== null) this.maintenance = maintenance === false ? null : new CompiledMaintenance(maintenance);
  }

  /** Whether the method in bytes [from, to) is served; methods are case-sensitive. */
  serves(buf: Uint8Array, from: number, to: number): boolean {
    return this.methods === null || this.methods.some((method) => method.length === to - from && method.every((code, i) => code === buf[from + i]));
  }
}

function isEmpty({ set, add, remove }: FieldChanges): boolean {
  return remove.length + Object.keys(set).length + Object.keys(add).length === 0;
}

/** A closed door, with who may pass it. */
export class CompiledMaintenance {
  readonly status: number;
  /** Seconds, at least 1. */
  readonly retryAfter: number;
  readonly page: CompiledPage | null;
  private readonly allow: AddressList;

  constructor({ status, retryAfter, page, allow }: Maintenance) {
    this.status = status;
    this.retryAfter = Math.max(1, Math.ceil(retryAfter / 1000));
    this.page = page === null ? null : new CompiledPage(page);
    this.allow = new AddressList(allow);
  }

  admits(client: string): boolean {
    return this.allow.has(client);
  }
}
