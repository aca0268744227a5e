import { createHash } from 'node:crypto';

/** A hue of its own for each version, 0–359. */
function hueOf(version: string): number {
  if (version === 'v1') return 212;
  if (version === 'v2') return 152;
  return createHash('sha256').update(version).digest().readUInt16BE(0) % 360;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char]);
}

/** The page of the demo service. It asks `/api` twice a second, so that a swap can be watched as it happens. */
export function page(version: string, backend: string, count: number): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(version)} · Switchyard demo</title>
<style>
  :root { --hue: ${hueOf(version)}; color-scheme: light dark; }
  * { box-sizing: border-box; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif; color: hsl(var(--hue) 30% 15%);
    background: linear-gradient(160deg, hsl(var(--hue) 80% 95%), hsl(var(--hue) 60% 82%)); }
  main { width: min(34rem, calc(100vw - 2rem)); padding: 2.5rem; border-radius: 1.25rem; background: hsl(0 0% 100% / .8); box-shadow: 0 1rem 3rem hsl(var(--hue) 40% 30% / .2); }
  p { margin: .25rem 0; }
  .version { margin: 0; font-size: clamp(3rem, 14vw, 6rem); font-weight: 800; line-height: 1.1; letter-spacing: -.04em; color: hsl(var(--hue) 70% 38%); overflow-wrap: anywhere; }
  .backend { font-family: ui-monospace, monospace; }
  .trail { display: flex; gap: 3px; height: 1.75rem; margin-top: 1.5rem; }
  .trail i { flex: 1; border-radius: 3px; background: hsl(var(--hue) 20% 50% / .15); }
  small { display: block; margin-top: .75rem; opacity: .75; }
  code { font-family: ui-monospace, monospace; }
  @media (prefers-color-scheme: dark) {
    body { color: hsl(var(--hue) 30% 90%); background: linear-gradient(160deg, hsl(var(--hue) 40% 12%), hsl(var(--hue) 40% 20%)); }
    main { background: hsl(var(--hue) 25% 14% / .8); }
    .version { color: hsl(var(--hue) 70% 68%); }
  }
</style>
</head>
<body>
<main>
  <p>You are served by</p>
  <h1 class="version">${escape(version)}</h1>
  <p>backend <span class="backend">${escape(backend)}</span>, its request number ${count}</p>
  <div class="trail" aria-hidden="true"></div>
  <small id="note">Each bar is an answer of <code>/api</code>, coloured by its version. Start a swap and watch. Also here: <code>/events</code>, <code>/ws</code>, <code>/slow?ms=2000</code>, <code>/upload</code>.</small>
</main>
<script>
  const trail = document.querySelector('.trail');
  const shown = ${JSON.stringify(version).replaceAll('<', '\\u003c')};
  for (let i = 0; i < 40; i++) trail.append(document.createElement('i'));
  const colours = { v1: 'hsl(212 70% 52%)', v2: 'hsl(152 60% 42%)' };
  let away = 0;
  async function ask() {
    let colour = 'hsl(0 75% 50%)';
    try {
      const answer = await (await fetch('/api', { cache: 'no-store' })).json();
      colour = colours[answer.version] || 'hsl(40 80% 50%)';
      away = answer.version === shown ? 0 : away + 1;
    } catch { away = 0; }
    const bar = document.createElement('i');
    bar.style.background = colour;
    trail.append(bar);
    trail.firstChild.remove();
    if (away === 4) location.reload();
    setTimeout(ask, 500);
  }
  ask();
</script>
</body>
</html>
`;
}
