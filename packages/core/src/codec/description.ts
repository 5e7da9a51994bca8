/**
 * What an entry says of itself besides its value: scope and tags, as JSON in UTF-8,
 * `{"s":[kind,id],"t":[tags]}`, with the members that are empty left out.
 */
import { isUtf8 } from 'node:buffer';
import { CodecError } from '../errors.ts';
import { checkName, checkText, type Scope } from '../model/key.ts';
import { MalformedError } from './payload.ts';

/** The length in front of it has two bytes. */
const MAX_DESCRIPTION_BYTES = 0xffff;

/** Scope and tags as stored, without the length in front; empty where there is neither. */
export function encodeDescription(scope: Scope | undefined, tags: readonly string[] = []): Buffer {
  return encodeMembers(namesOf(scope, tags));
}

/** The members that say scope and tags; those that are empty are left out. */
export function namesOf(
  scope: Scope | undefined,
  tags: readonly string[],
): Readonly<Record<string, unknown>> {
  return {
    ...(scope === undefined ? {} : { s: [scope.kind, scope.id] }),
    ...(tags.length === 0 ? {} : { t: tags }),
  };
}

/** Members as stored, with room for as many bytes more; empty where there are none. */
export function encodeMembers(members: Readonly<Record<string, unknown>>, room = 0): Buffer {
  if (Object.keys(members).length === 0) return Buffer.alloc(0);
  const bytes = Buffer.from(JSON.stringify(members));
  const most = MAX_DESCRIPTION_BYTES - room;
  if (bytes.length > most) {
    throw new CodecError(
      `scope and tags of one entry take ${bytes.length} bytes, and at most ${most} can be stored`,
    );
  }
  return bytes;
}

export interface Names {
  readonly scope: Scope | undefined;
  readonly tags: readonly string[];
}

/** Scope and tags; throws where the bytes are not what {@link encodeDescription} writes. */
export function decodeDescription(bytes: Buffer): Names {
  return bytes.length === 0 ? { scope: undefined, tags: [] } : namesIn(decodeMembers(bytes));
}

/** The members of a description; throws where the bytes hold none. */
export function decodeMembers(bytes: Buffer): object {
  if (bytes.length === 0) return {};
  if (!isUtf8(bytes)) throw new MalformedError('a description is not UTF-8');
  const parsed: unknown = JSON.parse(bytes.toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null) throw new MalformedError('no description');
  return parsed;
}

/** What {@link namesOf} wrote. */
export function namesIn(members: object): Names {
  const scope = 's' in members ? textsOf(members.s) : undefined;
  const tags = 't' in members ? textsOf(members.t).map((tag) => checkText('tag', tag)) : [];
  if (scope === undefined) return { scope, tags };
  const [kind, id, ...more] = scope;
  if (kind === undefined || id === undefined || more.length > 0) {
    throw new MalformedError('a scope is not a pair of texts');
  }
  return { scope: { kind: checkName('scope kind', kind), id: checkText('scope id', id) }, tags };
}

function textsOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw new MalformedError('a description holds no list');
  return value.map((text: unknown) => {
    if (typeof text !== 'string') throw new MalformedError('a description holds no text');
    return text;
  });
}
