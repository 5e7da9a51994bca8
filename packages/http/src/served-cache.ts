/** What these routes need of a cache of @cache/core. */
import type { Cache } from '@cache/core';

export type ServedCache = Pick<
  Cache,
  | 'registry'
  | 'ready'
  | 'health'
  | 'stats'
  | 'sync'
  | 'inspect'
  | 'forget'
  | 'scope'
  | 'invalidateTags'
  | 'deadLetters'
>;
