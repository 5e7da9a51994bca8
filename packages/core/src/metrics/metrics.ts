/**
 * Everything that the cache counts, and the two ways to look at it. One per cache; `cache.ts`
 * creates it, hands it down, and connects the sources of what is a state.
 */
import type { Registry } from 'prom-client';
import { Counts } from './counts.ts';
import { exportTo } from './prometheus.ts';
import { type CacheStats, takeSnapshot } from './snapshot.ts';

export class Metrics extends Counts {
  snapshot(): CacheStats {
    return takeSnapshot(this);
  }

  /**
   * Puts every metric on a registry of prom-client, to be collected when it is scraped. The
   * returned function takes them off again. A registry serves one cache: a second one on the
   * same registry is a `ConfigError`.
   */
  register(registry: Registry): () => void {
    return exportTo(this, registry);
  }
}
