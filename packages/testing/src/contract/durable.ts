/** What an L3 promises. */
import assert from 'node:assert/strict';
import {
  type ContractCase,
  type ContractOptions,
  caseOf,
  has,
  itemOf,
  logOf,
  writeOf,
} from './case.ts';
import type { ContractAddress, ContractDurableTier } from './tiers.ts';

/** Above everything that the store has ever held. */
export async function above(tier: ContractDurableTier): Promise<number> {
  return (await tier.maxVersion()) + 1000;
}

async function itemsOf(
  tier: ContractDurableTier,
  address: ContractAddress,
): Promise<readonly string[] | undefined> {
  const [log] = await tier.readLogs([address]);
  return log?.items.map(({ id }) => id);
}

/** The stamps of the marks that a key has. */
async function marksOf(tier: ContractDurableTier, address: ContractAddress) {
  const marks = await tier.marks(10_000);
  return marks.filter((mark) => mark.address.id === address.id);
}

export function durableCases(
  options: ContractOptions<ContractDurableTier>,
): readonly ContractCase[] {
  return [...values(options), ...exact(options), ...logs(options), ...erasing(options)];
}

function values(options: ContractOptions<ContractDurableTier>): readonly ContractCase[] {
  return [
    caseOf(options, 'G1, G10: what was applied is read as it was', async (tier, of) => {
      const write = writeOf(of('a'), await above(tier), 7, { tags: ['red'] });
      assert.deepEqual([...(await tier.read([write.address]))], [undefined]);
      has(await tier.apply([{ write, mark: false }]), [{ status: 'applied' }], 'it is applied');
      const [read] = await tier.read([write.address]);
      const { payload, ...rest } = write;
      has(read, rest, 'its stamp, scope and tags');
      const text = Buffer.from(read?.payload?.bytes ?? []).toString();
      assert.deepEqual(JSON.parse(text), JSON.parse(String(payload?.bytes)), 'its value');
    }),
    caseOf(options, 'G4: an older write is superseded, and told by what', async (tier, of) => {
      const version = await above(tier);
      const write = writeOf(of('a'), version, 5);
      await tier.apply([{ write, mark: false }]);
      const again = await tier.apply([{ write, mark: false }]);
      has(again, [{ status: 'applied' }], 'the same write again is applied');
      for (const older of [writeOf(of('a'), version - 1, 9), writeOf(of('a'), version, 4)]) {
        const newer = { version, intent: 5 };
        const replies = await tier.apply([{ write: older, mark: false }]);
        has(replies, [{ status: 'superseded', newer }], 'by version, then by intent');
      }
    }),
    caseOf(options, 'G7: a row is answered whatever its neighbours are', async (tier, of) => {
      const version = await above(tier);
      await tier.apply([{ write: writeOf(of('b'), version, 1), mark: false }]);
      const rows = [
        { write: writeOf(of('a'), version, 1), mark: false },
        { write: writeOf(of('b'), version - 1, 1), mark: false },
        { write: writeOf(of('c'), version, 1, { payload: undefined }), mark: false },
      ];
      const statuses = (await tier.apply(rows)).map(({ status }) => status);
      assert.deepEqual(statuses, ['applied', 'superseded', 'applied'], 'in the order of the rows');
    }),
    caseOf(options, 'G3: a write that went around L2 leaves a mark with it', async (tier, of) => {
      const version = await above(tier);
      await tier.apply([{ write: writeOf(of('quiet'), version, 1), mark: false }]);
      assert.deepEqual(await marksOf(tier, of('quiet')), [], 'no mark unasked');
      await tier.apply([{ write: writeOf(of('a'), version, 1), mark: true }]);
      const marks = await marksOf(tier, of('a'));
      has(marks, [{ stamp: { version, intent: 1 } }], 'one mark, of this write');
      await tier.unmark(marks.map(({ id }) => id));
      assert.deepEqual(await marksOf(tier, of('a')), [], 'it goes by its id');
    }),
    caseOf(options, 'G3: marks are read page by page, the oldest first', async (tier, of) => {
      const keys = ['c', 'a', 'b'].map(of);
      const version = await above(tier);
      for (const key of keys) await tier.apply([{ write: writeOf(key, version, 1), mark: true }]);
      const found: string[] = [];
      for (let after = 0; ; ) {
        const [mark, ...more] = await tier.marks(1, after);
        if (mark === undefined) break;
        assert.ok(mark.id > after && more.length === 0, 'one, behind the one before');
        after = mark.id;
        found.push(mark.address.id);
      }
      const own = found.filter((id) => keys.some((key) => key.id === id));
      assert.deepEqual(
        own,
        keys.map(({ id }) => id),
        'each of them once, in the order of writing',
      );
    }),
  ];
}

function exact(options: ContractOptions<ContractDurableTier>): readonly ContractCase[] {
  return [
    caseOf(options, 'G12: of many that set upon one base, one wins', async (tier, of) => {
      const version = await above(tier);
      const base = { version, intent: 1 };
      await tier.apply([{ write: writeOf(of('a'), version, 1), mark: false }]);
      const writes = Array.from({ length: 8 }, (_, i) => writeOf(of('a'), version + 1 + i, 2));
      const replies = await Promise.all(writes.map((write) => tier.compareAndSet(write, base)));
      const won = replies.filter(({ status }) => status === 'applied');
      assert.equal(won.length, 1, 'of concurrent updates none is lost');
      const winner = writes[replies.findIndex(({ status }) => status === 'applied')];
      assert.ok(winner);
      has(await tier.compareAndSet(winner, base), { status: 'applied' }, 'a retry is no other');
      const current = { version: winner.version, intent: 2 };
      const late = tier.compareAndSet(writeOf(of('a'), version + 90, 3), base);
      has(await late, { status: 'mismatch', current }, 'the others are told what is there');
      assert.ok((await marksOf(tier, of('a'))).length > 0, 'it always leaves a mark');
    }),
    caseOf(options, 'create is refused where there is a live row', async (tier, of) => {
      const version = await above(tier);
      const row = { write: writeOf(of('a'), version, 1), mark: false, absent: true };
      has(await tier.apply([row]), [{ status: 'applied' }], 'it is new');
      const again = { ...row, write: writeOf(of('a'), version + 1, 2) };
      has(await tier.apply([again]), [{ status: 'exists' }], 'it is there already');
    }),
  ];
}

function logs(options: ContractOptions<ContractDurableTier>): readonly ContractCase[] {
  return [
    caseOf(
      options,
      'G12: items are united by id, and keep the version they came with first',
      async (tier, of) => {
        const address = of('log');
        const version = await above(tier);
        const first = logOf(address, [itemOf('x', version), itemOf('y', version + 2)]);
        await tier.insert([{ write: first, mark: false }]);
        const again = logOf(address, [itemOf('y', version + 9), itemOf('z', version + 1)]);
        const replies = await tier.insert([{ write: again, mark: false }]);
        const versions = [version + 2, version + 1];
        has(replies, [{ status: 'applied', versions, others: true }], 'it says what it holds');
        assert.deepEqual(await itemsOf(tier, address), ['x', 'z', 'y'], 'in log order, each once');
        const [last] = await tier.readLogs([address], { slice: { last: 1 } });
        assert.deepEqual(
          last?.items.map(({ id }) => id),
          ['y'],
          'the newest',
        );
      },
    ),
    caseOf(options, 'G4: a deleted log takes no older item', async (tier, of) => {
      const address = of('log');
      const version = await above(tier);
      await tier.insert([{ write: logOf(address, [itemOf('x', version)]), mark: false }]);
      const deletion = logOf(address, [], { erasedTo: version + 5 });
      await tier.insert([{ write: deletion, mark: false }]);
      const late = logOf(address, [itemOf('late', version + 1), itemOf('new', version + 6)]);
      const replies = await tier.insert([{ write: late, mark: false }]);
      has(replies, [{ status: 'erased', dead: ['late'] }], 'it says which are dead');
      assert.deepEqual(await itemsOf(tier, address), ['new'], 'what is newer begins it anew');
    }),
  ];
}

function erasing(options: ContractOptions<ContractDurableTier>): readonly ContractCase[] {
  return [
    caseOf(
      options,
      'G8: an erased scope has nothing, and nothing older of it comes back',
      async (tier, of) => {
        const scope = { kind: 'call', id: of('scope').key };
        const version = await above(tier);
        const write = writeOf(of('a'), version, 1, { scope });
        const log = logOf(of('log'), [itemOf('x', version)], { scope });
        await tier.apply([{ write, mark: false }]);
        await tier.insert([{ write: log, mark: false }]);
        const report = await tier.erase(scope, version + 5);
        has(report, { records: 1, items: 1 }, 'it says what it took');
        assert.deepEqual([...(await tier.scope(scope))], [], 'nothing names the scope');
        const late = await tier.apply([{ write: { ...write, version: version + 1 }, mark: false }]);
        assert.deepEqual([...(await tier.read([of('a')]))], [undefined], 'it did not come back');
        has(late, [{ status: 'erased' }], 'a late write is told that it was erased');
        const items = await tier.insert([{ write: log, mark: false }]);
        has(items, [{ status: 'erased', dead: ['x'] }], 'late items too');
        const after = writeOf(of('a'), version + 6, 1, { scope });
        has(
          await tier.apply([{ write: after, mark: false }]),
          [{ status: 'applied' }],
          'a new one',
        );
      },
    ),
    caseOf(options, 'G4: the highest version outlives what had it', async (tier, of) => {
      const scope = { kind: 'call', id: of('scope').key };
      const version = await above(tier);
      await tier.apply([{ write: writeOf(of('a'), version, 1, { scope }), mark: false }]);
      await tier.erase(scope, version);
      assert.ok((await tier.maxVersion()) >= version, 'it was held once');
    }),
  ];
}
