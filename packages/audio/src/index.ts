/** Speech audio over @cache/core. */

export type { SpeechMode, SpeechStream } from './answering.ts';
export type { CleanupOptions, CleanupOrder } from './cleanup.ts';
export {
  type CleanupPolicy,
  type CleanupPolicyName,
  fifo,
  type GdsfOptions,
  gdsf,
  literal,
  lru,
  PROTECTION,
  ranks,
  type WeightedOptions,
} from './cleanup-policy.ts';
export { clipAnswers } from './clip-answers.ts';
export {
  ClipCompression,
  type ClipCompressionOptions,
  type CompressionCounts,
  type Encoding,
  type LeftAlone,
  type Packed,
  RATIO_BUCKETS,
  type ResolvedCompression,
} from './clip-compression.ts';
export { isClipMetadata, keptUntil, prolonged } from './clip-metadata.ts';
export { clipResponse, keptResponse } from './clip-response.ts';
export { type AudioSettings, audioFromEnv, type SpeakerName } from './config.ts';
export { type AudioVariable, type AudioVariableName, audioVariables } from './config-variables.ts';
export {
  CONTENT_TYPE_TTLS,
  type SpeechPolicies,
  type SpeechPolicy,
} from './content-types.ts';
export { createFileStore } from './create-file-store.ts';
export { type ElevenLabsOptions, elevenLabs } from './elevenlabs.ts';
export { characterLimit } from './elevenlabs-request.ts';
export {
  NotCachedError,
  type RequestProblem,
  SpeechError,
  type SpeechErrorCode,
  SpeechRequestError,
  SynthesisError,
  type SynthesisProblem,
} from './errors.ts';
export {
  DEFAULT_FILE_STORE_BYTES,
  FileStore,
  type FileStoreCounts,
  type FileStoreOptions,
} from './file-store.ts';
export { type FirstByteFigures, FirstBytes } from './first-bytes.ts';
export type { Broadcast, BroadcastEnd, Claim, Fleet, FleetPiece, VoidNews } from './fleet.ts';
export { type AudioFormat, type Codec, type FormatName, mediaTypeOf } from './formats.ts';
export { haveSpoken, type Spoken } from './have-spoken.ts';
export {
  beginsLike,
  durationMs,
  type MediaProblem,
  parseWav,
  problemOf,
  type Sniffed,
  sniff,
  type Wav,
} from './media.ts';
export {
  exportSpeechMetrics,
  type SpeechMetricsOptions,
  speechMetricNames,
} from './metrics.ts';
export type { Audio } from './new-clip.ts';
export { type OpenedSpeech, type OpenSpeechOptions, openSpeech } from './open-speech.ts';
export { isHearing, Popularity, type PopularityOptions, type Segment } from './popularity.ts';
export type { Prices } from './prices.ts';
export {
  type Provider,
  ProviderError,
  type ResolvedRequest,
  type Synthesis,
  type Synthesize,
} from './provider.ts';
export { type RedisFleetOptions, redisFleet } from './redis-fleet.ts';
export { type RedisStoreOptions, redisStore } from './redis-store.ts';
export { type Asked, isKey, type SpeechRequest } from './request.ts';
export { requestOf, type SpokenRequest, spokenFields } from './request-schema.ts';
export type {
  AccessedClip,
  AudioCacheStats,
  CompressionStats,
  FileCacheStats,
} from './route-answers.ts';
export { type AudioRoutesOptions, audioRoutes } from './routes.ts';
export { createSpeechCache, SpeechCache, type StreamOptions } from './speech-cache.ts';
export type { CleanupReport, SpeechEvent, SpeechListener, SpeechSource } from './speech-events.ts';
export type { RequestDefaults, SpeechCacheOptions } from './speech-options.ts';
export { speechProblem, spoken } from './speech-problems.ts';
export { speechResponse } from './speech-response.ts';
export type { SpeechStats, VoiceUse } from './speech-stats.ts';
export { type StorageClient, type StorageStoreOptions, storageStore } from './storage-store.ts';
export {
  type Clip,
  type ClipEntry,
  type ClipMetadata,
  type ClipStore,
  type PutCall,
  type StoreCall,
  StoreError,
  type StoreUsage,
} from './store.ts';
export type { Manifest, WarmOptions, WarmProgress, WarmReport } from './warm.ts';
