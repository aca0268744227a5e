import { Histogram } from 'prom-client';
import type { HistogramConfiguration, LabelValues } from 'prom-client';
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

  /** What the registry asks for when it writes text; the values that the class itself would keep are not used. */
  getForPromString(): Promise<unknown> {
    const { name, help } = this.about;
    return Promise.resolve({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.read()].flatMap(({ labels, traffic }) => seriesOf(name, labels, traffic)),
    });
  }
}

interface Sample<T extends string> {
  readonly metricName: string;
  readonly labels: LabelValues<T>;
  readonly sharedLabels: LabelValues<T>;
  readonly value: number;
}

function seriesOf<T extends string>(name: string, labels: LabelValues<T>, { bins, latencySum }: Traffic): Sample<T>[] {
  let below = 0;
  let bin = 0;
  const bucket = (le: string, value: number): Sample<T> => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, sharedLabels: {}, value });
  const buckets = EDGES.map((edge) => {
    while (bin <= edge) below += bins[bin++];
    return bucket(String(BIN_BOUNDS[edge]), below);
  });
  // The count is the sum of the bins, not `answered`: a scrape must never see a bucket above the count.
  const count = bins.reduce((sum, each) => sum + each, 0);
  return [
    ...buckets,
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels, sharedLabels: {}, value: latencySum },
    { metricName: `${name}_count`, labels, sharedLabels: {}, value: count },
  ];
}
