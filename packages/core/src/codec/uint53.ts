/**
 * Versions, intents, epochs and times at rest: 64 bits big-endian of which the upper eleven are
 * zero, so that JavaScript, Lua and PostgreSQL all hold them as exact numbers.
 */
import { MalformedError } from './payload.ts';

const TWO_32 = 0x1_0000_0000;

/** Writes an integer from 0 to 2^53 - 1 and returns the offset behind it. */
export function writeUInt53(out: Buffer, value: number, at: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`a stored number must be an integer from 0 to 2^53 - 1, got ${value}`);
  }
  out.writeUInt32BE(Math.floor(value / TWO_32), at);
  return out.writeUInt32BE(value % TWO_32, at + 4);
}

export function readUInt53(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32BE(at);
  if (high > 0x1f_ffff) throw new MalformedError('a stored number is 2^53 or more');
  return high * TWO_32 + bytes.readUInt32BE(at + 4);
}
