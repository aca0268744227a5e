import { defineConfig } from './src/config/define.ts';

export default defineConfig({
  listeners: [{ host: '127.0.0.1', port: 8080 }],
  admin: { host: '127.0.0.1', port: 9900, token: process.env.SWITCHYARD_ADMIN_TOKEN },
  dataThreads: 'auto',
  stateDir: '.switchyard',
  trustedProxies: [],
  launch: { onShutdown: 'stop' },
  upstreams: {
    web: {
      routes: [{ host: '*', path: '/' }],
      health: { path: '/healthz', interval: '500ms' },
      // How `switchyard deploy web --version v3` starts another one.
      launch: { command: [process.execPath, 'src/demo/service.ts'], replicas: 2 },
      // Only a seed: after a swap the state in stateDir says what is live.
      versions: { v1: { backends: ['127.0.0.1:9001', '127.0.0.1:9002'] } },
      live: 'v1',
    },
  },
  // Two versions of a small web service, started beside the proxy for trying it out: swap from v1 to v2 and back.
  demo: [
    { version: 'v1', ports: [9001, 9002] },
    { version: 'v2', ports: [9003, 9004] },
  ],
});
