import type { ConfigInput } from './input.ts';

/** Gives the configuration its type, so that an editor knows the fields. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
