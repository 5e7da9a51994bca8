import { expect, it } from 'vitest';
import { KeyError } from '../../../src/errors.ts';
import { table } from '../../../src/model/mapped-table.ts';

const progress = table({
  name: 'app.Progress',
  key: ['user_id', 'document_id'],
  columns: { voice_id: 'voice', "it's": 'odd column' },
  scope: ['user', 'user_id'],
});

it('G8: every choice of parts makes a key of its own, and a key says its parts', () => {
  const texts = ['', 'a', ':', '%', '%3A', '%25', 'a:b', '::', '%253A', 'ü', '%3a'];
  const seen = new Map<string, string>();
  for (const user_id of texts) {
    for (const document_id of texts) {
      const key = progress.key({ user_id, document_id });
      expect(progress.partsOf(key)).toEqual({ user_id, document_id });
      const parts = JSON.stringify([user_id, document_id]);
      expect(seen.get(key) ?? parts).toBe(parts);
      seen.set(key, parts);
    }
  }
  expect(seen.size).toBe(texts.length ** 2);
});

it('says of no other text that it is a key', () => {
  for (const wrong of ['', 'a', 'a:b:c', 'a%:b', 'a%3B:b', 'a:b%2']) {
    expect([wrong, progress.partsOf(wrong)]).toEqual([wrong, undefined]);
  }
  const lacking = { user_id: 'a' };
  // @ts-expect-error a part is missing
  expect(() => progress.key(lacking)).toThrow(KeyError);
});

it('prints the call that maps it, with every name quoted', () => {
  expect(progress.migration('progress')).toBe(`select public.cache_map_table(
  namespace => 'progress',
  relation => 'app."Progress"',
  key => array['user_id', 'document_id'],
  columns => '{"voice_id":"voice","it''s":"odd column"}',
  scope_kind => 'user',
  scope_column => 'user_id'
);`);
});

it('columns that are named as their fields are a list', () => {
  const listed = table({ name: 'notes', key: ['id'], columns: ['text', 'author'] });
  const named = { text: 'text', author: 'author' };
  expect(listed.columns).toEqual(named);
  const spelled = table({ name: 'notes', key: ['id'], columns: named });
  expect(listed.migration('notes')).toBe(spelled.migration('notes'));
  expect(() => table({ name: 'notes', key: ['id'], columns: ['text', 'text'] })).toThrow(
    'names a column twice',
  );
});
