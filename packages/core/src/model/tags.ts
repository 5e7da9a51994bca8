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

/** Everything that an entry is invalidated by. */
export function tagIdsOf(entry: {
  readonly tags: readonly string[];
  readonly scope: Scope | undefined;
}): readonly TagId[] {
  const ids = entry.tags.map(tagId);
  return entry.scope === undefined ? ids : [...ids, scopeTagId(entry.scope)];
}
