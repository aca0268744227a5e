import { defineConfig, demoService } from './src/config/define.ts';

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
      // How its versions are started: a small web service, for trying things out. `switchyard deploy web --version v3` starts another one.
      launch: { command: [process.execPath, demoService], replicas: 2 },
      // Two of them from the start, to swap from v1 to v2 and back. Only a seed: after a swap the state in stateDir says what is live.
      versions: { v1: { launch: {} }, v2: { launch: {} } },
      live: 'v1',
    },
  },
});
