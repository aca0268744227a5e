#!/usr/bin/env node
// Plain JavaScript: Node does not strip types under node_modules, so the published package runs dist/, a checkout runs src/.
import { existsSync } from 'node:fs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 26 || (major === 26 && minor < 6)) {
  console.error(`switchyard needs Node 26.6 or newer; this is ${process.version}.`);
  process.exit(2);
}
const source = new URL('../src/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href);
