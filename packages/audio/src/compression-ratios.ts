/** The ratios that compression reached, as a histogram that is read from counts that are there. */
import { Histogram } from 'prom-client';
import { type ClipCompression, RATIO_BUCKETS } from './clip-compression.ts';

type Exposed = Awaited<ReturnType<Histogram['get']>>;

const SHAPE = {
  name: 'audio_cache_compression_ratio',
  help: 'Bytes of a clip before compression by bytes after it.',
  buckets: RATIO_BUCKETS.filter((end) => Number.isFinite(end)),
  registers: [],
};

export class CompressionRatios extends Histogram {
  readonly #compression: ClipCompression | undefined;
  /** Never observed: it knows how prom-client describes a histogram. */
  readonly #blank: Histogram;

  constructor(compression: ClipCompression | undefined) {
    super(SHAPE);
    this.#compression = compression;
    this.#blank = new Histogram(SHAPE);
  }

  override async get(): Promise<Exposed> {
    const counts = this.#compression?.counts();
    const metricName = `${SHAPE.name}_bucket`;
    let below = 0;
    const values: Exposed['values'] = RATIO_BUCKETS.map((end, slot) => {
      below += counts?.ratios[slot]?.clips ?? 0;
      return { metricName, value: below, labels: { le: Number.isFinite(end) ? end : '+Inf' } };
    });
    values.push({ metricName: `${SHAPE.name}_sum`, value: counts?.ratioSum ?? 0, labels: {} });
    values.push({ metricName: `${SHAPE.name}_count`, value: below, labels: {} });
    return { ...(await this.#blank.get()), values };
  }

  /** What a registry asks for where a metric has it, instead of `get`. */
  getForPromString(): Promise<Exposed> {
    return this.get();
  }
}
