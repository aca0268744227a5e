/** The house rules as functions from source text to complaints, so that each can be shown to complain. */
import { dirname, join, normalize } from 'node:path/posix';
import { parseSync, Visitor } from 'oxc-parser';
import type { Node } from 'oxc-parser';

export interface SourceFile {
  /** From the top of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

export type Rule = (file: SourceFile) => string[];

/** A room imports from rooms above it and from itself. */
export const ROOMS = [
  'errors',
  'disk',
  'pool',
  'http',
  'balance',
  'ledger',
  'config',
  'demo',
  'dial',
  'proxy',
  'listen',
  'data',
  'health',
  'swap',
  'members',
  'worker',
  'acme',
  'webhooks',
  'launch',
  'history',
  'pull',
  'control',
  'metrics',
  'admin',
  'app.ts',
  'cli',
  'main.ts',
] as const;

/** Pairs that the order would allow and the design does not. */
const APART: readonly (readonly [string, string])[] = [
  ['swap', 'proxy'],
  ['swap', 'data'],
  ['health', 'proxy'],
  ['health', 'data'],
];

const PURE_ROOMS = ['errors', 'pool', 'http', 'balance', 'ledger', 'swap'];
const PURE_FILES = [
  'src/health/_verdict.ts',
  'src/health/availability.ts',
  'src/health/evidence.ts',
  'src/health/slow-start.ts',
  'src/members/register.ts',
  'src/members/_books.ts',
  'src/members/shares.ts',
  'src/members/crew.ts',
  'src/worker/standing.ts',
];
/** In a pure room, and impure for the reason given. */
const IMPURE: Readonly<Record<string, string>> = {
  'src/swap/journal.ts': 'it is the disk',
  'src/swap/_lock.ts': 'it keeps a second proxy off that disk',
};

const DATA_PLANE = ['pool', 'http', 'balance', 'ledger', 'dial', 'proxy', 'listen', 'data'];
const CONTROL_PACKAGES = ['zod', 'undici', 'ws', 'prom-client'];

const BANNED_CALLS: Readonly<Record<string, string>> = {
  'Date.now': 'take now() as a parameter',
  'performance.now': 'take now() as a parameter',
  'Math.random': 'take random() as a parameter',
  setTimeout: 'take after(ms, run) as a parameter',
  setInterval: 'take after(ms, run) as a parameter',
  setImmediate: 'take after(ms, run) as a parameter',
  queueMicrotask: 'call it directly',
};
const BANNED_MODULES = /^node:(net|tls|dgram|dns|fs|http|https|http2|child_process|worker_threads|timers|process|cluster)(\/|$)|^(undici|ws)$/;

export const MOST_LINES = 400;
export const MOST_FUNCTION_LINES = 70;

function roomOf(path: string): string | null {
  const [top, room] = path.split('/');
  return top === 'src' ? room : null;
}

function parsed(file: SourceFile): ReturnType<typeof parseSync> {
  return parseSync(file.path, file.text);
}

function lineAt(file: SourceFile, offset: number): number {
  return file.text.slice(0, offset).split('\n').length;
}

interface Import {
  readonly from: string;
  readonly line: number;
}

/** Every module this file names: static, re-exported and dynamic imports, type imports too. */
export function importsOf(file: SourceFile): Import[] {
  const { module } = parsed(file);
  const found: Import[] = module.staticImports.map((one) => ({ from: one.moduleRequest.value, line: lineAt(file, one.start) }));
  for (const one of module.staticExports) {
    for (const entry of one.entries) if (entry.moduleRequest) found.push({ from: entry.moduleRequest.value, line: lineAt(file, entry.start) });
  }
  for (const one of module.dynamicImports) {
    const quoted = /^['"`](.*)['"`]$/.exec(file.text.slice(one.moduleRequest.start, one.moduleRequest.end));
    if (quoted) found.push({ from: quoted[1], line: lineAt(file, one.start) });
  }
  return found;
}

function resolved(file: SourceFile, from: string): string | null {
  return from.startsWith('.') ? normalize(join(dirname(file.path), from)) : null;
}

export const importDirection: Rule = (file) => {
  const room = roomOf(file.path);
  if (room === null) return [];
  const order = (ROOMS as readonly string[]).indexOf(room);
  if (order < 0) return [`${file.path}: ${room} is not a room of the house`];
  return importsOf(file).flatMap(({ from, line }) => {
    const target = resolved(file, from);
    if (target === null) return [];
    const other = roomOf(target);
    const where = `${file.path}:${line}: imports ${target}`;
    if (other === null) return [`${where}, which is outside src/`];
    const position = (ROOMS as readonly string[]).indexOf(other);
    if (position < 0 || position > order) return [`${where}, which is not above ${room}`];
    return APART.some(([a, b]) => a === room && b === other) ? [`${where}: ${room} never imports ${other}`] : [];
  });
};

export const privateFiles: Rule = (file) =>
  importsOf(file).flatMap(({ from, line }) => {
    const target = resolved(file, from);
    if (target === null || !/\/_[^/]*$/.test(target) || dirname(target) === dirname(file.path)) return [];
    const mirrored = dirname(file.path).replace(/^test\//, 'src/') === dirname(target);
    return mirrored ? [] : [`${file.path}:${line}: ${target} is private to ${dirname(target)}`];
  });

export const noIndexFiles: Rule = (file) => (/(^|\/)index\.[cm]?[jt]s$/.test(file.path) ? [`${file.path}: name the file after what it holds`] : []);

export const fileLength: Rule = (file) => {
  const lines = file.text.trimEnd().split('\n').length;
  return lines > MOST_LINES ? [`${file.path}: ${lines} lines, the ceiling is ${MOST_LINES}; split it by what it does`] : [];
};

export const functionLength: Rule = (file) => {
  const complaints: string[] = [];
  const measure = (node: { start: number; end: number; body?: unknown }): void => {
    const [from, to] = [lineAt(file, node.start), lineAt(file, node.end)];
    if (to - from + 1 > MOST_FUNCTION_LINES) {
      complaints.push(`${file.path}:${from}: a function of ${to - from + 1} lines, the ceiling is ${MOST_FUNCTION_LINES}; name its parts`);
    }
  };
  new Visitor({ FunctionDeclaration: measure, FunctionExpression: measure, ArrowFunctionExpression: measure }).visit(parsed(file).program);
  return complaints;
};

/** `Date.now` for a member of a plain name, `setTimeout` for a plain name, else null. */
function nameOf(node: Node): string | null {
  if (node.type === 'Identifier') return node.name;
  if (node.type !== 'MemberExpression' || node.computed || node.object.type !== 'Identifier' || node.property.type !== 'Identifier') return null;
  return `${node.object.name}.${node.property.name}`;
}

export function isPure(path: string): boolean {
  return PURE_FILES.includes(path) || (PURE_ROOMS.includes(roomOf(path) ?? '') && !(path in IMPURE));
}

export const purity: Rule = (file) => {
  if (!isPure(file.path)) return [];
  const complaints = importsOf(file)
    .filter(({ from }) => BANNED_MODULES.test(from))
    .map(({ from, line }) => `${file.path}:${line}: imports ${from} in pure code; take what it does as a parameter`);
  const complain = (node: Node, what: string, instead: string): void => {
    complaints.push(`${file.path}:${lineAt(file, node.start)}: ${what} in pure code; ${instead}`);
  };
  new Visitor({
    CallExpression(node) {
      const name = nameOf(node.callee);
      if (name !== null && Object.hasOwn(BANNED_CALLS, name)) complain(node, name, BANNED_CALLS[name]);
    },
    NewExpression(node) {
      if (nameOf(node.callee) === 'Date' && node.arguments.length === 0) complain(node, 'new Date()', 'take now() as a parameter');
    },
    MemberExpression(node) {
      if (nameOf(node) === 'process.env') complain(node, 'process.env', 'read it in src/main.ts or src/cli and pass the value');
    },
  }).visit(parsed(file).program);
  return complaints;
};

export const lightDataPlane: Rule = (file) =>
  DATA_PLANE.includes(roomOf(file.path) ?? '')
    ? importsOf(file)
        .filter(({ from }) => CONTROL_PACKAGES.includes(from))
        .map(({ from, line }) => `${file.path}:${line}: ${from} in the data plane; it belongs to the control thread`)
    : [];

export const noAny: Rule = (file) => {
  const complaints: string[] = [];
  new Visitor({
    TSAnyKeyword(node) {
      complaints.push(`${file.path}:${lineAt(file, node.start)}: any; say what it is, or unknown and check`);
    },
  }).visit(parsed(file).program);
  return complaints;
};

const SWITCHES = ['only', 'skip', 'todo'];

/** Tests that do not run, or could not fail because nothing is in them. */
export const noIdleTests: Rule = (file) => {
  if (!file.path.endsWith('.test.ts')) return [];
  const complaints: string[] = [];
  const complain = (node: Node, what: string): void => {
    complaints.push(`${file.path}:${lineAt(file, node.start)}: ${what}; a test runs and can fail, or it is not there`);
  };
  new Visitor({
    CallExpression(node) {
      const name = nameOf(node.callee);
      const [object, method] = (name ?? '').split('.');
      if (object === 't' && SWITCHES.includes(method)) complain(node, `t.${method}`);
      if (name !== 't.test') return;
      for (const argument of node.arguments) {
        if (argument.type === 'ObjectExpression') {
          for (const one of argument.properties) {
            if (one.type === 'Property' && one.key.type === 'Identifier' && SWITCHES.includes(one.key.name)) complain(one, one.key.name);
          }
        }
        const isFunction = argument.type === 'ArrowFunctionExpression' || argument.type === 'FunctionExpression';
        if (isFunction && argument.body?.type === 'BlockStatement' && argument.body.body.length === 0) complain(argument, 'an empty test');
      }
    },
  }).visit(parsed(file).program);
  return complaints;
};

const PLACES: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w.:/-])\/(home|root|Users|work|srv\/work)\/\w+/, 'a folder of one machine'],
  [/https?:\/\/[^\s"'/]*(registry|artifactory|nexus|verdaccio|mirror)[^\s"'/]*/i, 'a package registry'],
  [/"resolved":/, 'where a package was downloaded from'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{300,}/, 'a private key'],
];

/** The project speaks of itself alone. */
export const speaksOfItself: Rule = (file) =>
  PLACES.flatMap(([pattern, what]) => {
    const found = pattern.exec(file.text);
    return found ? [`${file.path}:${lineAt(file, found.index)}: names ${what}: ${found[0].slice(0, 60)}`] : [];
  });

/** A document that a file points to has to be in the repository. `documents`: the paths of those that are. */
export function documentsExist(documents: readonly string[]): Rule {
  const names = new Set(documents.map((path) => path.split('/').at(-1)));
  return (file) =>
    [...file.text.matchAll(/(?<![\w*])[\w-]+\.md\b/g)]
      .filter(([name]) => !names.has(name))
      .map(({ 0: name, index }) => `${file.path}:${lineAt(file, index)}: points to ${name}, which is not here`);
}

/** Rooms of src/ without a test file of their own in test/. */
export function roomsWithoutTests(paths: readonly string[]): string[] {
  const rooms = new Set(paths.filter((path) => /^src\/[^/]+\//.test(path)).map((path) => path.split('/')[1]));
  return [...rooms]
    .filter((room) => !paths.some((path) => path.startsWith(`test/${room}/`) && path.endsWith('.test.ts')))
    .map((room) => `src/${room} has no test in test/${room}`);
}
