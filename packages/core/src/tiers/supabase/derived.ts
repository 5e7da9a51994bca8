/**
 * Derived values in L3: what outlives Redis. One call of one function of supabase/migrations for
 * each method (for more rows than fit into one call, several, one after the other).
 *
 * As in the tier itself nothing is tried again here, and what a rejected call did is unknown. A
 * put that is sent again is the same write by its stamp.
 */
import type { Address } from '../../model/key.ts';
import type { TagId } from '../../model/tags.ts';
import type { DerivedHeld, DurableDerived } from '../derived.ts';
import type { CallOptions } from '../tier.ts';
import { batchesOf, MAX_BYTES, MAX_READS, MAX_WRITES } from './batches.ts';
import * as derivedRows from './derived-rows.ts';
import { malformedError } from './failures.ts';
import * as rows from './rows.ts';
import type { Rpc } from './rpc.ts';

export class SupabaseDerived implements DurableDerived {
  readonly #rpc: Rpc;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /**
   * The sequence is that of the first call: what is invalidated between two of them is newer than
   * a load that begins with this answer. Of no addresses, it is the present one.
   */
  async read(
    addresses: readonly Address[],
    o: CallOptions = {},
  ): Promise<{
    readonly sequence: number;
    readonly held: readonly (DerivedHeld | undefined)[];
  }> {
    const held: (DerivedHeld | undefined)[] = [];
    let sequence: number | undefined;
    do {
      const asked = addresses.slice(held.length, held.length + MAX_READS);
      const args = { ...rows.addressArguments(asked), budget: String(MAX_BYTES) };
      const answer = await this.#rpc.call('read', 'cache_derived_read', args, o.signal);
      sequence ??= rows.number(rows.field(answer, 'sequence'));
      const found = rows.list(rows.field(answer, 'rows'));
      const isEndless = found.length === 0 && asked.length > 0;
      if (isEndless || found.length > asked.length) throw malformedError();
      for (const [index, row] of found.entries()) {
        const at = asked[index];
        held.push(row === null || at === undefined ? undefined : derivedRows.heldFrom(at, row));
      }
    } while (held.length < addresses.length);
    return { sequence, held };
  }

  async put(
    puts: Parameters<DurableDerived['put']>[0],
    o: CallOptions = {},
  ): Promise<readonly ('held' | 'voided')[]> {
    const replies: ('held' | 'voided')[] = [];
    for (const batch of batchesOf(puts, MAX_WRITES, derivedRows.sizeOfPut)) {
      const args = derivedRows.putArguments(batch);
      const answer = await this.#rpc.call('write', 'cache_derived_put', args, o.signal);
      replies.push(...rows.listOf(batch.length, answer).map(derivedRows.putReplyFrom));
    }
    return replies;
  }

  async remove(addresses: readonly Address[], o: CallOptions = {}): Promise<void> {
    for (const batch of batchesOf(addresses, MAX_READS)) {
      const args = rows.addressArguments(batch);
      await this.#rpc.call('write', 'cache_derived_remove', args, o.signal);
    }
  }

  async invalidate(tags: readonly TagId[], o: CallOptions = {}): Promise<void> {
    for (const batch of batchesOf(tags, MAX_READS)) {
      await this.#rpc.call('write', 'cache_derived_invalidate', { tags: batch }, o.signal);
    }
  }
}
