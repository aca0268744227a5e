import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { Authority } from '../helpers/certificates.ts';
import { Chromium } from '../helpers/chromium.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

/** Of each kind; 50 together, with the page's own style. */
const PICTURES = 35;
const SCRIPTS = 14;

const COLOURS = ['#264653', '#2a9d8f', '#e9c46a', '#f4a261', '#e76f51'];
const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fifty</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css"></head><body><h1>Fifty assets</h1>
<p>${Array.from({ length: PICTURES }, (_, i) => `<img src="/${i}.svg" alt="${i}">`).join('')}</p>
<pre id="said"></pre>
${Array.from({ length: SCRIPTS }, (_, i) => `<script src="/${i}.js"></script>`).join('')}
</body></html>`;

function asset(path: string): [type: string, body: string] | null {
  const n = Number.parseInt(path.slice(1), 10);
  if (path === '/') return ['text/html', PAGE];
  if (path === '/style.css') return ['text/css', 'body { font: 20px sans-serif; background: #fdfcf7 } img { margin: 4px }'];
  if (path.endsWith('.svg')) {
    const drawn = `<rect width="60" height="60" rx="8" fill="${COLOURS[n % 5]}"/><text x="30" y="38" text-anchor="middle" fill="#fff" font-size="20">${n}</text>`;
    return ['image/svg+xml', `<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60">${drawn}</svg><!-- ${'.'.repeat(n * 1000)} -->`];
  }
  if (path.endsWith('.js')) return ['text/javascript', `document.getElementById('said').textContent += 'script ${n}\\n'; // ${'.'.repeat(n * 3000)}`];
  return null;
}

t.test('Chromium gets a page with fifty assets over HTTP/2, and talks over a WebSocket inside it', { timeout: 170_000 }, async (t) => {
  const backend = createServer((request, response) => {
    const found = asset(request.url ?? '');
    if (found === null) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': found[0], 'cache-control': 'no-store' }).end(found[1]);
  });
  const sockets = new WebSocketServer({ server: backend, path: '/chat' });
  sockets.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    backend.close().closeAllConnections();
  });
  const pair = await (await Authority.create(t)).issue();
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, tls: { certificates: [{ cert: pair.certFile, key: pair.keyFile }] } }],
    dataThreads: 1,
    accessLog: 'full',
    upstreams: { web: catchAll({ v1: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] }, 'v1') },
  });
  const browser = await Chromium.start(t);
  await browser.open(`https://localhost:${port}/`);

  interface Entry {
    readonly name: string;
    readonly nextHopProtocol: string;
    readonly responseStatus: number;
  }
  const entries = await browser.run<Entry[]>(
    `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(({ name, nextHopProtocol, responseStatus }) => ({ name, nextHopProtocol, responseStatus }))`,
  );
  const assets = entries.filter(({ name }) => /\.(svg|css|js)$/.test(name));
  t.equal(assets.length, PICTURES + SCRIPTS + 1, 'fifty assets');
  t.strictSame([...new Set(entries.map(({ nextHopProtocol }) => nextHopProtocol))], ['h2'], 'all of it over HTTP/2');
  t.strictSame([...new Set(entries.map(({ responseStatus }) => responseStatus))], [200]);
  t.equal(await browser.run(`[...document.images].filter((image) => image.complete && image.naturalWidth === 60).length`), PICTURES, 'each picture is drawn');
  t.equal(await browser.run(`document.getElementById('said').textContent.trim().split('\\n').length`), SCRIPTS, 'each script has run');

  const said = await browser.run<string[]>(`new Promise((resolve, reject) => {
    const socket = new WebSocket('wss://localhost:${port}/chat');
    const heard = [];
    socket.onopen = () => { socket.send('hello'); socket.send('x'.repeat(100000)); };
    socket.onmessage = ({ data }) => { heard.push(data); if (heard.length === 2) socket.close(1000, 'enough'); };
    socket.onclose = ({ code, reason }) => resolve([heard[0], String(heard[1]?.length), String(code), reason]);
    socket.onerror = () => reject(new Error('the WebSocket has failed'));
  })`);
  t.strictSame(said, ['hello', '100000', '1000', 'enough']);
  const lines = await eventually('it is in the log', () => {
    const found = proxy.process.stdout.split('\n').filter((line) => line.includes('"/chat"'));
    return found.length > 0 ? found : null;
  });
  t.equal(lines.length, 1);
  t.match(lines[0], '"protocol":"HTTP/2"', 'in a stream (RFC 8441)');
  const { text } = await proxy.admin('/metrics');
  t.match(text, /^switchyard_client_connections [12]$/m, 'all of it over one or two connections');
});
