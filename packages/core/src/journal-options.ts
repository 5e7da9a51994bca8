/** The options of the journal: their types, defaults, and what they resolve to. */
import { ConfigError } from './errors.ts';
import { checkDirectory } from './write/journal/disk.ts';
import type { JournalMode } from './write/journal/rung.ts';

/** Acknowledged writes on this process's own disk, until L3 has them. */
export interface JournalOptions {
  /**
   * A directory of this process's own, on a disk that outlives it. It has to be there, and to be
   * writable; a second process that names it is refused.
   */
  readonly dir: string;
  /**
   * `fallback`: holds what neither L2 nor L3 could. `always`: holds every write before it is
   * acknowledged, so that it also outlives L2 and this process dying together. Default `'fallback'`.
   */
  readonly mode?: JournalMode | undefined;
  /** Bytes on disk; beyond it, what only the journal could hold is rejected. Default 256 MiB. */
  readonly maxBytes?: number | undefined;
}

export interface ResolvedJournal {
  readonly dir: string;
  readonly mode: JournalMode;
  readonly maxBytes: number;
  /** Of one file. */
  readonly segmentBytes: number;
}

export const JOURNAL_MODES: readonly JournalMode[] = ['fallback', 'always'];

const MIB = 1024 * 1024;
const DEFAULT_MAX_BYTES = 256 * MIB;
const MAX_SEGMENT_BYTES = 8 * MIB;
/** Files that a journal is spread over at least, so that one old write does not keep all of it. */
const MIN_SEGMENTS = 16;

/** Throws `ConfigError` where the directory can't be used, or there is no L3 to keep writes for. */
export function resolveJournal(
  options: JournalOptions | undefined,
  hasDurable: boolean,
): ResolvedJournal | undefined {
  if (options === undefined) return undefined;
  if (!hasDurable) throw new ConfigError('option "journal" needs the option l3');
  if (options.dir === undefined) throw new ConfigError('option "journal.dir" is missing');
  checkDirectory(options.dir);
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  return Object.freeze({
    dir: options.dir,
    mode: options.mode ?? 'fallback',
    maxBytes,
    segmentBytes: Math.min(MAX_SEGMENT_BYTES, Math.floor(maxBytes / MIN_SEGMENTS)),
  });
}
