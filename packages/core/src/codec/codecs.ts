/** The codecs by name: which one wrote a payload is stored with it. */
import type { CodecName } from '../model/entry.ts';
import { bytesCodec } from './bytes.ts';
import type { Codec } from './codec.ts';
import { type JsonValue, jsonCodec } from './json.ts';
import { structuredCodec } from './structured.ts';

/** What a codec hands out. */
export interface CodecValues {
  readonly json: JsonValue;
  readonly bytes: Uint8Array;
  readonly structured: unknown;
}

export const codecs: { readonly [Name in CodecName]: Codec<CodecValues[Name]> } = Object.freeze({
  json: jsonCodec,
  bytes: bytesCodec,
  structured: structuredCodec,
});
