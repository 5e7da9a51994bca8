/**
 * What a value has to be so that it can be a row of a mapped table: an object whose every field has
 * a column, and whose texts PostgreSQL can hold. Checked before the write is acknowledged: what a
 * constraint of the table refuses afterwards becomes a dead letter, this need not.
 */
import { CodecError } from '../errors.ts';
import type { RowTable } from '../model/mapped-table.ts';

/** Throws `CodecError` naming the path of the part that no row can hold. */
export function checkRow(table: RowTable, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CodecError(`$: a row of ${table.name} is an object`);
  }
  for (const [field, part] of Object.entries(value)) {
    if (!Object.hasOwn(table.columns, field)) {
      throw new CodecError(`$.${field}: no column of ${table.name} is mapped to it`);
    }
    checkText(part, `$.${field}`);
  }
}

function checkText(part: unknown, path: string): void {
  if (typeof part === 'string') {
    if (part.isWellFormed() && !part.includes('\0')) return;
    throw new CodecError(`${path}: no column can hold U+0000 or half a surrogate pair`);
  }
  if (typeof part !== 'object' || part === null) return;
  for (const [name, inner] of Object.entries(part)) {
    checkText(name, `a key of ${path}`);
    checkText(inner, Array.isArray(part) ? `${path}[${name}]` : `${path}.${name}`);
  }
}
