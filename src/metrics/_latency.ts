import { Histogram } from 'prom-client';
import type { HistogramConfiguration, LabelValues, MetricObjectWithValues, MetricValueWithName } from 'prom-client';
import type { Traffic } from '../ledger/control.ts';
import { BIN_BOUNDS } from '../ledger/layout.ts';

/** Each octave of the ledger's bins from 256 µs to 8.4 s, as positions in BIN_BOUNDS. */
const EDGES = BIN_BOUNDS.map((_, bin) => bin).filter((bin) => bin % 2 === 0 && bin >= 2);

export const BUCKET_BOUNDS: readonly number[] = EDGES.map((bin) => BIN_BOUNDS[bin]);

/** A histogram whose figures are read from the ledger as they are, instead of being observed one by one. */
export class LedgerHistogram<T extends string> extends Histogram<T> {
  private readonly about: HistogramConfiguration<T>;
  private readonly read: () => Iterable<{ labels: LabelValues<T>; traffic: Traffic }>;

  constructor(about: HistogramConfiguration<T>, read: () => Iterable<{ labels: LabelValues<T>; traffic: Traffic }>) {
    super(about);
    this.about = about;
    this.read = read;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<T>>> {
    const { name, help } = this.about;
    const values = [...this.read()].flatMap(({ labels, traffic }) => seriesOf(name, labels, traffic));
    return { ...(await super.get()), name, help, values };
  }

  /** What the registry asks for when it writes text. */
  getForPromString(): Promise<MetricObjectWithValues<MetricValueWithName<T>>> {
    return this.get();
  }
}

function seriesOf<T extends string>(name: string, labels: LabelValues<T>, { bins, latencySum }: Traffic): MetricValueWithName<T>[] {
  let below = 0;
  let bin = 0;
  const buckets = EDGES.map((edge) => {
    while (bin <= edge) below += bins[bin++];
    return { metricName: `${name}_bucket`, labels: { ...labels, le: String(BIN_BOUNDS[edge]) }, value: below };
  });
  // The count is the sum of the bins, not `answered`: a scrape must never see a bucket above the count.
  const count = bins.reduce((sum, each) => sum + each, 0);
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: latencySum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
