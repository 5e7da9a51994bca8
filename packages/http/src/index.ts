/** @cache/http: the routes of a cache, and what an application needs to add its own. */
export {
  bodyRefusals,
  cacheHeader,
  type DocumentedHeader,
  derivedHeaders,
  durableHeader,
  heldBy,
  isNoAnswer,
  readRefusals,
  refusals,
  writeRefusals,
} from './answer-parts.ts';
export {
  type ApiOptions,
  api,
  bodyLimit,
  type FailedRequest,
  MAX_BODY_BYTES,
  wellFormedPath,
} from './api.ts';
export { type CacheRoutesOptions, cacheRouters, cacheRoutes } from './cache-routes.ts';
export { type Listening, listen, settled } from './listen.ts';
export type { Preload, Preloaded } from './preload-routes.ts';
export {
  PROBLEM_TYPE,
  type Problem,
  ProblemError,
  type ProblemMembers,
  type ProblemPart,
  problem,
  problemOf,
  problemSchema,
} from './problem.ts';
export { RequestBounds } from './request-bounds.ts';
export { errorLog, requestLog } from './request-log.ts';
export {
  bearer,
  createRouter,
  type JsonResponse,
  json,
  type ProblemResponse,
  problems,
  type Router,
} from './router.ts';
export type { ServedCache } from './served-cache.ts';
export {
  type ServiceName,
  type ServiceOptions,
  type ServiceVariable,
  serviceFromEnv,
  serviceVariables,
} from './service.ts';
export { drainOnSignals, type EndSignal, type ShutdownOptions } from './shutdown.ts';
export { type AuthOptions, type Caller, Tokens, unauthorized } from './tokens.ts';
