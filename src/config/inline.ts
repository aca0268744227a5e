import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { anchored } from './launch.ts';
import { readPage } from './_pages.ts';

type Tree = Readonly<Record<string, unknown>>;

/** Fields of the top level that can change while the proxy runs. */
export const TOP_FIELDS = ['trustedProxies', 'timeouts', 'limits', 'accessLog', 'errorPages', 'shutdown', 'webhooks'] as const;

/**
 * An upstream as it was written, with the content of the files that it names in the place of their names: it can be sent to another
 * machine, and brought back when the files are gone.
 * @param spec is valid
 * @param folder what names are relative to; null = it names none
 */
export function inlineUpstream(spec: unknown, folder: string | null): unknown {
  const tree = plainCopy(spec);
  if (folder === null) return tree;
  const routes = Array.isArray(tree.routes) ? tree.routes.map((route: Tree) => ({ ...route, ...maintenanceOf(route, folder) })) : tree.routes;
  return { ...tree, routes, ...pagesOf(tree, folder), ...maintenanceOf(tree, folder), ...tlsOf(tree, folder), ...launchesOf(tree, folder) };
}

/** The fields of the top level that were written, with the content of files in them. */
export function inlineTop(document: unknown, folder: string | null): Tree {
  const tree = plainCopy(document);
  const named = Object.fromEntries(TOP_FIELDS.filter((field) => tree[field] !== undefined).map((field) => [field, tree[field]]));
  return folder === null ? named : { ...named, ...pagesOf(named, folder) };
}

function plainCopy(value: unknown): Tree {
  return JSON.parse(JSON.stringify(value ?? {})) as Tree;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function pageOf(value: unknown, folder: string): unknown {
  const read = typeof value === 'string' ? readPage(value, folder) : value;
  return typeof read === 'string' ? value : read;
}

function pagesOf({ errorPages }: Tree, folder: string): Tree {
  if (!isTree(errorPages)) return {};
  return { errorPages: Object.fromEntries(Object.entries(errorPages).map(([status, page]) => [status, pageOf(page, folder)])) };
}

function maintenanceOf({ maintenance }: Tree, folder: string): Tree {
  return isTree(maintenance) && maintenance.page != null ? { maintenance: { ...maintenance, page: pageOf(maintenance.page, folder) } } : {};
}

/** Folders of launched processes as they are on this machine. */
function launchesOf({ launch, versions }: Tree, folder: string): Tree {
  const own = isTree(launch) ? { launch: anchored(launch, folder) } : {};
  if (!isTree(versions)) return own;
  const seedOf = (seed: unknown): unknown => {
    if (!isTree(seed) || !isTree(seed.launch) || (seed.launch.cwd === undefined && isTree(launch))) return seed;
    return { ...seed, launch: anchored(seed.launch, folder) };
  };
  return { ...own, versions: Object.fromEntries(Object.entries(versions).map(([id, seed]) => [id, seedOf(seed)])) };
}

function tlsOf({ tls }: Tree, folder: string): Tree {
  if (!isTree(tls)) return {};
  const read = (value: unknown): unknown => {
    if (typeof value !== 'string' || value.includes('-----BEGIN')) return value;
    try {
      return readFileSync(resolve(folder, value), 'latin1');
    } catch {
      // What is wrong with the file is said where it is read for use.
      return value;
    }
  };
  return { tls: Object.fromEntries(Object.entries(tls).map(([field, value]) => [field, ['ca', 'cert', 'key'].includes(field) ? read(value) : value])) };
}
