/** @cache/http: the routes of a cache, and what an application needs to add its own. */
export {
  bodyRefusals,
  cacheHeader,
  derivedHeaders,
  durableHeader,
  found,
  heldBy,
  isNoAnswer,
  noSuch,
  orUnknown,
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
export {
  type Answers,
  type DeclaredRoute,
  type Declarer,
  type JsonBody,
  jsonBody,
  type RequestParts,
  type RouteAbout,
  type RouteMethod,
  routesOf,
} from './declared-routes.ts';
export { type Listening, listen, settled } from './listen.ts';
export {
  type Application,
  type OpenServiceOptions,
  openService,
  type Service,
  type ServiceEnvironment,
  type ServiceParts,
} from './open-service.ts';
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
  type DocumentedHeader,
  type JsonResponse,
  json,
  type ProblemResponse,
  problems,
  type Router,
} from './router.ts';
export { type RunServiceOptions, runService } from './run-service.ts';
export type { ServedCache } from './served-cache.ts';
export {
  type ServiceName,
  type ServiceOptions,
  type ServiceVariable,
  serviceFromEnv,
  serviceVariables,
} from './service.ts';
export { type ServiceApiOptions, serviceApi } from './service-api.ts';
export { drainOnSignals, type EndSignal, type ShutdownOptions } from './shutdown.ts';
export { type AuthOptions, type Caller, Tokens, unauthorized } from './tokens.ts';
export { Invalidations } from './told-again.ts';
export { type Fetch, listenerOf, type Outgoing, wholeOrBroken } from './whole-or-broken.ts';
