/** The call-automation service as one web-standard handler: conversations beside the cache's own routes. */
import { audioRoutes } from '@cache/audio';
import { type Cache, type Clock, type Duration, type Logger, systemClock } from '@cache/core';
import { type AuthOptions, type Preload, type Router, serviceApi } from '@cache/http';
import { callersRouter } from './callers-router.ts';
import { callsRouter } from './calls-router.ts';
import { conversationRouter } from './conversation-router.ts';
import { type Conversations, openConversations } from './conversations.ts';
import { type Crm, SimulatedCrm } from './crm.ts';
import { crmFromEnv } from './crm-env.ts';
import { openProfiles } from './profiles.ts';
import { WRITE_MS } from './request-bounds.ts';
import { Speaker } from './speech/speaker.ts';
import { noSpeech, type Speech } from './speech/speech.ts';
import { speechRouter } from './speech/speech-router.ts';
import { spokenTurnRouter } from './speech/spoken-turn-router.ts';
import { turnsRouter } from './turns-router.ts';

export interface AppOptions {
  readonly cache: Cache;
  readonly auth?: AuthOptions | undefined;
  readonly logger: Logger;
  /** Where profiles come from. Left out: a simulated one with the defaults of its variables. */
  readonly crm?: Crm | undefined;
  /** What speaks, and remembers it. Left out: nobody. */
  readonly speech?: Speech | undefined;
  /** How long a profile is fresh, for tests that can't wait until it is not. */
  readonly profileTtl?: Duration | undefined;
  /** For tests that hold time still. */
  readonly clock?: Clock | undefined;
}

export function createApp(options: AppOptions): Router {
  const { cache, auth = {}, logger, clock = systemClock } = options;
  const { crm = new SimulatedCrm(crmFromEnv({}), clock), profileTtl } = options;
  const { speech = noSpeech() } = options;
  const speaker = new Speaker(speech);
  const conversations = openConversations(cache);
  const profiles = openProfiles(cache, crm, clock, profileTtl);
  return serviceApi({
    title: 'Calls',
    version: '1',
    description:
      'Conversations of a call-automation service, kept in memory, Redis and Supabase. A write that was acknowledged is never lost; what a slow source has to compute is asked for once.',
    cache,
    auth,
    logger,
    clock,
    routers: [
      callsRouter({ cache, conversations, profiles, clock }),
      conversationRouter(conversations, clock),
      turnsRouter(conversations, speaker, clock),
      spokenTurnRouter(conversations, speaker, clock),
      speechRouter(speech, speaker),
      callersRouter(profiles, clock),
    ],
    guarded: [
      audioRoutes({
        speech: speech.cache,
        auth,
        compression: speech.compression,
        enabled: speech.enabled,
        ttlSeconds: speech.ttlSeconds,
      }),
    ],
    preload: preloadOf(conversations),
  });
}

/** Both keys of a call are known, so that Supabase need not be asked which there are. */
function preloadOf({ records, turns }: Conversations): Preload {
  return async (id, { signal }) => {
    const bounds = { signal, deadline: WRITE_MS };
    const [record, log] = await Promise.all([
      records.preload([id], bounds),
      turns.preload([id], bounds),
    ]);
    return {
      loaded: record.loaded + log.loaded,
      missing: record.missing + log.missing,
      tiers: {
        outbox: record.tiers.outbox + log.tiers.outbox,
        l2: record.tiers.l2 + log.tiers.l2,
        l3: record.tiers.l3 + log.tiers.l3,
      },
    };
  };
}
