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
  if (scope === undefined && tags.length === 0) return Buffer.alloc(0);
  const text = JSON.stringify({
    ...(scope === undefined ? {} : { s: [scope.kind, scope.id] }),
    ...(tags.length === 0 ? {} : { t: tags }),
  });
  const bytes = Buffer.from(text);
  if (bytes.length > MAX_DESCRIPTION_BYTES) {
    throw new CodecError(
      `scope and tags of one entry take ${bytes.length} bytes, and at most ${MAX_DESCRIPTION_BYTES} can be stored`,
    );
  }
  return bytes;
}

/** Scope and tags; throws where the bytes are not what {@link encodeDescription} writes. */
export function decodeDescription(bytes: Buffer): {
  readonly scope: Scope | undefined;
  readonly tags: readonly string[];
} {
  if (bytes.length === 0) return { scope: undefined, tags: [] };
  if (!isUtf8(bytes)) throw new MalformedError('a description is not UTF-8');
  const parsed: unknown = JSON.parse(bytes.toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null) throw new MalformedError('no description');
  const scope = 's' in parsed ? textsOf(parsed.s) : undefined;
  const tags = 't' in parsed ? textsOf(parsed.t) : [];
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
