import { expect, expectTypeOf, it } from 'vitest';
import type { Codec } from '../../src/codec/codec.ts';
import { codecs } from '../../src/codec/codecs.ts';
import type { JsonValue } from '../../src/codec/json.ts';

it('codecs are found by name, each with the type that it hands out', () => {
  expectTypeOf(codecs.json).toEqualTypeOf<Codec<JsonValue>>();
  expectTypeOf(codecs.bytes).toEqualTypeOf<Codec<Uint8Array>>();
  expectTypeOf(codecs.structured).toEqualTypeOf<Codec<unknown>>();
  for (const [name, codec] of Object.entries(codecs)) expect(codec.name).toBe(name);
});
