/**
 * What derived values are invalidated by in bulk. A tag of the caller's and a scope are both
 * such a name; each has an unambiguous text, so that no choice of a tag reaches a scope (G8).
 */
import { checkText, type Scope } from './key.ts';

/** Made only in this file. */
export type TagId = string & { readonly __brand: 'TagId' };

/** Checks the tag. */
export function tagId(tag: string): TagId {
  return `t:${checkText('tag', tag)}` as TagId;
}

/** A scope's kind holds no slash. */
export function scopeTagId(scope: Scope): TagId {
  return `s:${scope.kind}/${scope.id}` as TagId;
}

/** Whether it is a scope's: what bears it was erased, not only made old. */
export function isScopeTag(tag: TagId): boolean {
  return tag.startsWith('s:');
}

/** The caller's tags among these. */
export function tagsIn(ids: readonly TagId[]): readonly string[] {
  return ids.filter((id) => !isScopeTag(id)).map((id) => id.slice(2));
}

/** Everything that an entry is invalidated by. */
export function tagIdsOf(entry: {
  readonly tags: readonly string[];
  readonly scope: Scope | undefined;
}): readonly TagId[] {
  const ids = entry.tags.map(tagId);
  return entry.scope === undefined ? ids : [...ids, scopeTagId(entry.scope)];
}
