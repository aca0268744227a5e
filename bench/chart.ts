import type { IdleRow, Row } from './report.ts';
import type { Scenario } from './scenarios.ts';
import { SUBJECTS, VARIANTS } from './subjects/all.ts';

interface Bar {
  readonly subject: string;
  readonly value: number;
}

interface Panel {
  readonly title: string;
  readonly unit: string;
  /** Cheapest first. */
  readonly bars: readonly Bar[];
}

const COLOURS: Readonly<Record<string, string>> = {
  switchyard: '#d1495b',
  'http-proxy': '#edae49',
  httpxy: '#c98a2b',
  'fast-proxy': '#8f7ab8',
  '@fastify/http-proxy': '#6b5b95',
  undici: '#66a182',
  'tcp-relay': '#9aa5b1',
  nginx: '#00798c',
  haproxy: '#30638e',
  caddy: '#4ba3c3',
};

const COLUMNS = 3;
const PANEL = { width: 420, gap: 24, label: 156, value: 64, head: 44, row: 20, bar: 13 };
const MARGIN = 28;
const LEGEND_ROW = 22;
const TITLE_HEIGHT = 66;

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`;
}

/** Three digits are what the figures are good for. */
function shown(value: number): string {
  if (value >= 100) return Math.round(value).toString();
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function baseOf(subject: string): string {
  return [...SUBJECTS, ...VARIANTS].find(({ name }) => name === subject)?.base ?? subject;
}

function panelsOf(scenarios: readonly Scenario[], rows: readonly Row[], idleRows: readonly IdleRow[]): Panel[] {
  return scenarios.flatMap(({ name, kind }) => {
    const costs = rows.filter((row) => row.scenario === name).map((row) => ({ subject: row.subject, value: row.cpuPerRequest }));
    const memory = idleRows.filter((row) => row.scenario === name).map((row) => ({ subject: row.subject, value: row.bytesPerConnection / 1024 }));
    const bars = [...costs, ...memory].sort((a, b) => a.value - b.value);
    const unit = kind === 'idle' ? 'KB of memory per connection' : `CPU µs per ${kind === 'tunnel' ? 'message' : 'request'}`;
    return bars.length === 0 ? [] : [{ title: name, unit, bars }];
  });
}

function panelSvg(panel: Panel, x: number, y: number): string {
  const longest = Math.max(...panel.bars.map(({ value }) => value));
  const room = PANEL.width - PANEL.label - PANEL.value;
  const bars = panel.bars.map(({ subject, value }, i) => {
    const top = y + PANEL.head + i * PANEL.row;
    const width = longest === 0 ? 0 : Math.max(1, (value / longest) * room);
    const from = x + PANEL.label;
    const middle = top + PANEL.bar - 2;
    const weight = baseOf(subject) === 'switchyard' ? ' font-weight="bold"' : '';
    return [
      text(from - 8, middle, subject, `text-anchor="end"${weight}`),
      `<rect x="${from}" y="${top}" width="${width.toFixed(1)}" height="${PANEL.bar}" fill="${COLOURS[baseOf(subject)] ?? '#555'}"/>`,
      text(from + Math.ceil(width) + 6, middle, shown(value), `fill="#444"${weight}`),
    ].join('\n');
  });
  const title = text(x, y + 14, panel.title, 'font-size="14" font-weight="bold"');
  return [title, text(x, y + 31, panel.unit, 'fill="#666"'), ...bars].join('\n');
}

function legendSvg(bases: readonly string[], y: number): string {
  let x = MARGIN;
  return bases
    .map((base) => {
      const item = `<rect x="${x}" y="${y}" width="12" height="12" fill="${COLOURS[base] ?? '#555'}"/>\n${text(x + 18, y + 10, base)}`;
      x += 44 + base.length * 7;
      return item;
    })
    .join('\n');
}

/** The figures as an SVG picture: a panel for each scenario, a bar for each subject; shorter is better. */
export function chart(
  scenarios: readonly Scenario[],
  rows: readonly Row[],
  idleRows: readonly IdleRow[],
  setUp: { readonly cpu: string; readonly cores: number; readonly node: string; readonly load: string },
): string {
  const panels = panelsOf(scenarios, rows, idleRows);
  const bases = SUBJECTS.map(({ name }) => name).filter((name) => panels.some(({ bars }) => bars.some(({ subject }) => baseOf(subject) === name)));
  let y = MARGIN + TITLE_HEIGHT + LEGEND_ROW;
  const drawn: string[] = [];
  for (let first = 0; first < panels.length; first += COLUMNS) {
    const line = panels.slice(first, first + COLUMNS);
    for (const [column, panel] of line.entries()) drawn.push(panelSvg(panel, MARGIN + column * (PANEL.width + PANEL.gap), y));
    y += PANEL.head + Math.max(...line.map(({ bars }) => bars.length)) * PANEL.row + PANEL.gap;
  }
  const width = MARGIN * 2 + PANEL.width * COLUMNS + PANEL.gap * (COLUMNS - 1);
  const about = `${setUp.cpu}, ${setUp.cores} cores, Node ${setUp.node}, load ${setUp.load}. Medians over the rounds; shorter is better; each panel has a scale of its own.`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${text(MARGIN, MARGIN + 14, 'What a request costs in each proxy', 'font-size="20" font-weight="bold"')}
${text(MARGIN, MARGIN + 38, about, 'fill="#666"')}
${legendSvg(bases, MARGIN + TITLE_HEIGHT - 14)}
${drawn.join('\n')}
</svg>
`;
}
