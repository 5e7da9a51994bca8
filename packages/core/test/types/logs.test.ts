import { expectTypeOf, it } from 'vitest';
import type { Logs } from '../../src/index.ts';

type Items<T> = Parameters<Logs<T>['append']>[1];

it('an item or several are appended, and the compiler knows which', () => {
  expectTypeOf<{ readonly id: string }>().toExtend<Items<{ readonly id: string }>>();
  expectTypeOf<readonly string[]>().toExtend<Items<string>>();
  expectTypeOf<Parameters<Logs<string>['create']>[1]>().toEqualTypeOf<Items<string> | undefined>();
});

it('an item that is a list itself is appended in a list, because a list is several items', () => {
  expectTypeOf<[number, number]>().not.toExtend<Items<[number, number]>>();
  expectTypeOf<readonly number[]>().not.toExtend<Items<readonly number[]>>();
  expectTypeOf<readonly [number, number][]>().toExtend<Items<[number, number]>>();
  expectTypeOf<readonly [string][]>().toExtend<Items<string | [string]>>();
  expectTypeOf<Parameters<Logs<[number]>['create']>[1]>().toEqualTypeOf<
    Items<[number]> | undefined
  >();
});
