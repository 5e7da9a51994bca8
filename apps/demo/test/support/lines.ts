/** A logger that keeps what it is told, as the lines that would be written. */
import type { Logger } from '@cache/core';

export interface Lines extends Logger {
  readonly lines: readonly string[];
}

export function lines(): Lines {
  const kept: string[] = [];
  const keep = (details: object, message: string) => {
    kept.push(JSON.stringify({ ...details, message }));
  };
  return { lines: kept, debug: keep, info: keep, warn: keep, error: keep };
}
