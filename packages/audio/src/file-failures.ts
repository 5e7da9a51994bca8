/** What the file system says, in the words of a store. */
import { StoreError } from './store.ts';

/** The `code` of an error of the file system. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

/** Names the step, never a path. */
export function storeError(step: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = codeOf(cause);
  const why = code === undefined ? '' : ` (${code})`;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new StoreError('full', `no room in the clip directory to ${step}${why}`, { cause });
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
    case 'ENOTDIR':
      return new StoreError('refused', `the clip directory does not let ${step}${why}`, { cause });
    default:
      return new StoreError('unavailable', `the clip directory failed to ${step}${why}`, { cause });
  }
}
