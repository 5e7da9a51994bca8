/** Mapped tables in L3: one call of one function of supabase/migrations. */
import type { RowTable } from '../../model/mapped-table.ts';
import type { DurableTables } from '../tables.ts';
import type { CallOptions } from '../tier.ts';
import * as rows from './rows.ts';
import type { Rpc } from './rpc.ts';

export class SupabaseTables implements DurableTables {
  readonly #rpc: Rpc;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  async faults(
    namespace: string,
    table: RowTable,
    o: CallOptions = {},
  ): Promise<readonly string[]> {
    const [kind, column] = table.scope ?? [];
    const args = {
      namespace,
      relation: table.name,
      key: table.keyColumns,
      columns: JSON.stringify(table.columns),
      scope_kind: kind ?? null,
      scope_column: column ?? null,
    };
    const answer = await this.#rpc.call('read', 'cache_check_mapping', args, o.signal);
    return rows.list(answer).map(rows.text);
  }
}
