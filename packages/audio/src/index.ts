/** Speech audio over @cache/core. */
export {
  type Provider,
  ProviderError,
  type ResolvedRequest,
  type Synthesis,
  type Synthesize,
} from './provider.ts';
export {
  type Clip,
  type ClipEntry,
  type ClipMetadata,
  type ClipStore,
  StoreError,
} from './store.ts';
