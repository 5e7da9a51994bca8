import { expectTypeOf, it } from 'vitest';
import {
  type createCache,
  type MappedTable,
  type Records,
  type RecordsOptions,
  table,
} from '../../src/index.ts';

interface Progress {
  readonly voice_id: string;
  readonly segment_id: number;
}

it('a table is for values with exactly its fields, and knows the parts of its key', () => {
  const whole = table({
    name: 'progress',
    key: ['user_id', 'document_id'],
    columns: { voice_id: 'voice', segment_id: 'segment_id' },
    scope: ['user', 'user_id'],
  });
  expectTypeOf(whole).toEqualTypeOf<
    MappedTable<'voice_id' | 'segment_id', 'user_id' | 'document_id'>
  >();
  expectTypeOf(whole.key)
    .parameter(0)
    .toEqualTypeOf<Readonly<Record<'user_id' | 'document_id', string>>>();
  expectTypeOf(whole).toExtend<NonNullable<RecordsOptions<Progress>['table']>>();

  const lacking = table({ name: 'progress', key: ['user_id'], columns: { voice_id: 'voice' } });
  expectTypeOf(lacking).not.toExtend<NonNullable<RecordsOptions<Progress>['table']>>();
  const more = table({
    name: 'progress',
    key: ['user_id'],
    columns: { voice_id: 'voice', segment_id: 'segment_id', speed: 'speed' },
  });
  expectTypeOf(more).not.toExtend<NonNullable<RecordsOptions<Progress>['table']>>();
});

it('a namespace takes the table of its values', () => {
  type Open = (o: RecordsOptions<Progress>) => Records<Progress>;
  expectTypeOf<ReturnType<typeof createCache>['records']>().toExtend<
    (name: string, o: RecordsOptions<Progress>) => Records<Progress>
  >();
  expectTypeOf<Open>().parameter(0).toHaveProperty('table');
});
