/** What is cached in these schedules: keys, values, what they belong to, and how they live. */

export type Value =
  | { readonly n: number; readonly tag: string }
  | number
  | string
  | boolean
  | null
  | undefined;

/** `undefined`: there is nothing. */
export const FALSY: readonly Value[] = [0, '', false, null, undefined];
export const TAGS: readonly string[] = ['x', 'y', 'z'];
export const KEYS: readonly string[] = ['a', 'b', 'c', 'd'];

export const POLICY = Object.freeze({
  nearMs: 1800,
  ttlMs: 2200,
  graceMs: 900,
  softMs: 60,
  hardMs: 700,
  negativeMs: 900,
  jitter: 0.1,
  beta: 1,
});

/** Whether a key is one of those that are loaded together. */
export function isBatched(key: string): boolean {
  return key >= 'c';
}

/** Tags by key, and by what was loaded. */
export function tagsOf(key: string, value: Value): readonly string[] {
  const own = `key ${key}`;
  return typeof value === 'object' && value !== null ? [own, value.tag] : [own];
}

export function scopeOf(key: string): readonly [kind: string, id: string] {
  return ['call', isBatched(key) ? '2' : '1'];
}

export function textOf(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
