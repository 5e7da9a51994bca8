import { expect, it } from 'vitest';
import { HeardTags } from '../../../src/coherence/tags.ts';
import { scopeTagId, tagId } from '../../../src/model/tags.ts';

const red = tagId('red');
const blue = tagId('blue');

it('G3: what was begun before a tag was heard is invalid, what begins after is valid', () => {
  const tags = new HeardTags();
  const before = tags.sequence;
  tags.hear(red);
  expect(tags.isValid([red], before)).toBe(false);
  expect(tags.isValid([blue, red], before)).toBe(false);
  expect(tags.isValid([blue], before)).toBe(true);
  expect(tags.isValid([], before)).toBe(true);
  expect(tags.isValid([red], tags.sequence)).toBe(true);
});

it('who asked before a tag was heard may be given what was begun before it, who asked after may not', () => {
  const tags = new HeardTags();
  const began = tags.sequence;
  tags.hear(blue);
  const asked = tags.sequence;
  tags.hear(red);
  expect(tags.isValidFor([red], began, asked)).toBe(true);
  expect(tags.isValidFor([blue], began, asked)).toBe(false);
  expect(tags.isValidFor([red, blue], began, asked)).toBe(false);
  expect(tags.isValidFor([red], began, tags.sequence)).toBe(false);
  expect(tags.isValidFor([red, blue], asked, asked)).toBe(true);
});

it('G6: notes are bounded; a tag whose note was forgotten counts as invalidated as late as that', () => {
  const tags = new HeardTags(2);
  const before = tags.sequence;
  tags.hear(red);
  const between = tags.sequence;
  tags.hear(blue);
  tags.hear(tagId('green'));
  tags.hear(tagId('white'));
  expect(tags.size).toBe(2);
  expect(tags.isValid([red], before)).toBe(false);
  // Red was not heard since, but nobody knows that any more.
  expect(tags.isValid([red], between)).toBe(false);
  expect(tags.isValidFor([red], between, tags.sequence)).toBe(false);
  // Who asked before it was begun is given it, whatever was heard since.
  expect(tags.isValidFor([red], between, between)).toBe(true);
  expect(tags.isValid([red, blue], tags.sequence)).toBe(true);
  expect(tags.isValid([tagId('never heard')], between)).toBe(false);
});

it('hearing a tag again keeps its note the youngest', () => {
  const tags = new HeardTags(2);
  tags.hear(red);
  tags.hear(blue);
  tags.hear(red);
  const seen = tags.sequence;
  tags.hear(tagId('green'));
  expect(tags.isValid([red], seen)).toBe(true);
});

it('G8: no choice of a tag reaches a scope', () => {
  const scope = scopeTagId({ kind: 'call', id: '1' });
  for (const tag of ['call/1', 's:call/1', ':call/1']) expect(tagId(tag)).not.toBe(scope);
});
