/** The file store as it is used: with the system's clock. */
import { systemClock } from '@cache/core';
import { FileStore, type FileStoreOptions } from './file-store.ts';

/**
 * Clips in a directory. Throws `RangeError` for an option out of range; a directory that can't be
 * used makes its calls reject with `StoreError`, until it can be.
 */
export function createFileStore(
  options: Omit<FileStoreOptions, 'clock'> & Partial<Pick<FileStoreOptions, 'clock'>>,
): FileStore {
  return new FileStore({ clock: systemClock, ...options });
}
