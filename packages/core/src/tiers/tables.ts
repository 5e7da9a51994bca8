/** Mapped tables in L3: whether the database agrees with what a namespace says of its table. */
import type { RowTable } from '../model/mapped-table.ts';
import type { CallOptions } from './tier.ts';

export interface DurableTables {
  /** What is wrong, in words that name columns and never values; empty: the table is mapped like this. */
  faults(namespace: string, table: RowTable, o?: CallOptions): Promise<readonly string[]>;
}
