import { fileURLToPath } from 'node:url';
import type { ConfigInput } from './input.ts';

/** The program of the bundled demo service, for a `launch`. */
export const demoService: string = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../demo/service.ts' : '../demo/service.js', import.meta.url));

/** Gives the configuration its type, so that an editor knows the fields. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
