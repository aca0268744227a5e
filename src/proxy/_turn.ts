import type { AnswerRules } from '../http/answer-rules.ts';
import type { FieldEdits } from '../http/edit-fields.ts';
import type { RequestTurn } from '../http/forward-request.ts';
import type { Words } from '../http/template.ts';
import type { CompiledRules } from './rules.ts';

/** The rules of its route, for one request. Made only where there are any. */
export class RulesTurn implements RequestTurn {
  readonly edits: FieldEdits | null;
  readonly answer: AnswerRules | null;
  readonly words: Words;
  path: string | null = null;
  pathEnd = 0;
  prefix = '';

  constructor(rules: CompiledRules, words: Words) {
    this.edits = rules.request;
    this.answer = rules.answer;
    this.words = words;
  }
}
