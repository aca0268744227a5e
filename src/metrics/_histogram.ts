import { Histogram } from 'prom-client';
import type { HistogramConfiguration, LabelValues } from 'prom-client';

/** How many were up to each bound, beginning with the smallest: not cumulative, and one more at the end for all that are above. */
export interface Bins {
  readonly bins: readonly number[];
  readonly sum: number;
}

/** A histogram whose figures are read as they are, instead of being observed one by one. */
export class ReadHistogram<T extends string> extends Histogram<T> {
  private readonly about: HistogramConfiguration<T>;
  private readonly read: () => Iterable<{ labels: LabelValues<T> } & Bins>;

  constructor(about: HistogramConfiguration<T> & { readonly buckets: number[] }, read: () => Iterable<{ labels: LabelValues<T> } & Bins>) {
    super(about);
    this.about = about;
    this.read = read;
  }

  /** What the registry asks for when it writes text; the values that the class itself would keep are not used. */
  getForPromString(): Promise<unknown> {
    const { name, help, buckets = [] } = this.about;
    return Promise.resolve({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.read()].flatMap(({ labels, ...bins }) => seriesOf(name, buckets, labels, bins)),
    });
  }
}

interface Sample<T extends string> {
  readonly metricName: string;
  readonly labels: LabelValues<T>;
  readonly sharedLabels: LabelValues<T>;
  readonly value: number;
}

function seriesOf<T extends string>(name: string, bounds: readonly number[], labels: LabelValues<T>, { bins, sum }: Bins): Sample<T>[] {
  let below = 0;
  const bucket = (le: string, value: number): Sample<T> => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, sharedLabels: {}, value });
  const buckets = bounds.map((bound, i) => bucket(String(bound), (below += bins[i])));
  // The count is the sum of the bins: a scrape must never see a bucket above the count.
  const count = below + bins[bounds.length];
  return [
    ...buckets,
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels, sharedLabels: {}, value: sum },
    { metricName: `${name}_count`, labels, sharedLabels: {}, value: count },
  ];
}
