/**
 * Durations as people write them: milliseconds, or a number with its unit. Never bare seconds,
 * which nobody can tell from milliseconds.
 */
import { ConfigError } from '../errors.ts';

/** The units of a duration: milliseconds, seconds, minutes, hours, days. */
export type DurationUnit = 'ms' | 's' | 'm' | 'h' | 'd';

/** Milliseconds, or text such as `'50ms'`, `'1.5s'`, `'5m'`, `'1h'`, `'2d'`. */
export type Duration = number | `${number}${DurationUnit}`;

const MS_PER_UNIT = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
} satisfies Record<DurationUnit, number>;

/** The longest duration: a hundred years. */
const MAX_MS = 36_525 * MS_PER_UNIT.d;

/**
 * The milliseconds of a duration. Throws {@link ConfigError} naming the option, what it got and
 * what it takes; `value` is `unknown` because options also come from plain JavaScript and from
 * the environment.
 */
export function parseDuration(option: string, value: unknown): number {
  const ms = typeof value === 'string' ? msOfText(value) : value;
  if (typeof ms === 'number' && ms >= 0 && ms <= MAX_MS) return ms;
  throw new ConfigError(
    `${option} must be milliseconds or a text like '50ms', '10s', '5m', '1h' or '2d', got ${shown(value)}`,
  );
}

function msOfText(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|[smhd])$/.exec(text) ?? [];
  if (count === undefined || !isUnit(unit)) return undefined;
  return Number(count) * MS_PER_UNIT[unit];
}

function isUnit(text: string | undefined): text is DurationUnit {
  return text !== undefined && Object.hasOwn(MS_PER_UNIT, text);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return typeof value === 'number' ? String(value) : typeof value;
}
