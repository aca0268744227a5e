/** Path of an upstream in the admin API, with what is below it. */
export function upstreamPath(upstream: string, ...below: readonly string[]): string {
  return ['/v1/upstreams', encodeURIComponent(upstream), ...below.map(encodeURIComponent)].join('/');
}
