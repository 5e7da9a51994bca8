/**
 * Who is calling: profiles by phone number, derived from a CRM that is slow and sometimes fails.
 *
 * A caller is on the line, so an answer of a minute ago at once is better than one of now in a
 * second: past its time a profile is served for an hour more while the CRM is slow or away. All
 * of them bear the tag `crm`, and each its customer's tier, so that an operator can have them
 * loaded anew. A caller who is erased takes the profile along.
 */
import { type Cache, type Clock, type Derived, type Duration, systemClock } from '@cache/core';
import { z } from '@hono/zod-openapi';
import { type Crm, CUSTOMER_TIERS, type Customer } from './crm.ts';

export interface Profile extends Customer {
  /** As in E.164: a plus and digits. */
  readonly phone: string;
  /** ISO 8601: when the CRM was asked. */
  readonly loadedAt: string;
}

/** `undefined`: the CRM knows nobody by this number. */
export type Profiles = Derived<string, Profile | undefined>;

export const profileSchema: z.ZodType<Profile> = z
  .object({
    phone: z.string().openapi({ example: '+49301234567' }),
    name: z.string().openapi({ example: 'Ada' }),
    language: z.string().openapi({ example: 'de' }),
    tier: z.enum(CUSTOMER_TIERS),
    openOrders: z.int().nonnegative(),
    loadedAt: z.string(),
  })
  .openapi('Profile');

/** The scope of everything that belongs to one caller. */
export const CALLER_SCOPE = 'caller';
/** The tag of everything that was computed from the CRM. */
export const CRM_TAG = 'crm';
const TTL = '10m';

/** Opens the namespace. */
export function openProfiles(
  cache: Cache,
  crm: Crm,
  clock: Clock = systemClock,
  ttl: Duration = TTL,
): Profiles {
  return cache.derived('profiles', {
    load: async (phone: string, { signal }) => {
      const customer = await crm.byPhone(phone, { signal });
      const loadedAt = new Date(clock.now()).toISOString();
      return customer === undefined ? undefined : { phone, ...customer, loadedAt };
    },
    ttl,
    grace: '1h',
    soft: '80ms',
    hard: '2s',
    negativeTtl: '30s',
    tags: (_, profile) => [CRM_TAG, ...(profile === undefined ? [] : [`tier-${profile.tier}`])],
    scope: (phone) => [CALLER_SCOPE, phone],
    // Also in Supabase: an emptied Redis does not send every caller of the day to the CRM again.
    persist: true,
    schema: profileSchema.optional(),
  });
}

/**
 * The number without what people write between its digits; `undefined` where it is none. One
 * number has one spelling, so that it is one key.
 */
export function phoneOf(text: string): string | undefined {
  const phone = text.replace(/[\s().-]/g, '');
  return /^\+[1-9]\d{6,14}$/.test(phone) ? phone : undefined;
}

/**
 * The phone rings: the profile is loaded anew while the call is being taken, and nobody waits for
 * it. Where that fails the cache says so in its events, and whoever asks is given the older one.
 */
export function refreshOnRing(profiles: Profiles, caller: string | null): void {
  const phone = phoneOf(caller ?? '');
  if (phone !== undefined) profiles.refresh(phone).catch(() => undefined);
}
