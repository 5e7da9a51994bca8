/** What is said between the parts: to an instance, and to the oracle. */
import { z } from 'zod';

/** To an instance. `log`, `key` and `id` are never empty. */
export const callSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('begin'), log: z.string() }),
  z.object({ op: z.literal('append'), log: z.string(), id: z.string() }),
  z.object({ op: z.literal('turns'), log: z.string() }),
  z.object({ op: z.literal('set'), key: z.string(), n: z.int() }),
  z.object({ op: z.literal('remove'), key: z.string() }),
  z.object({ op: z.literal('state'), key: z.string() }),
  z.object({ op: z.literal('add'), key: z.string(), id: z.string() }),
  z.object({ op: z.literal('count'), key: z.string() }),
  z.object({ op: z.literal('profile'), key: z.string() }),
  z.object({ op: z.literal('changed'), key: z.string() }),
  z.object({ op: z.literal('hangup'), log: z.string() }),
  z.object({ op: z.literal('erase'), log: z.string() }),
  z.object({ op: z.literal('sync') }),
  z.object({ op: z.literal('sample') }),
  z.object({ op: z.literal('clock'), offsetMs: z.int() }),
  z.object({ op: z.literal('condition') }),
]);
export type Call = z.infer<typeof callSchema>;

const timing = { ms: z.number(), lagMs: z.number() };

/**
 * `ms`: how long it took in the instance; `lagMs`: how late that process's own timers were
 * meanwhile, because it was busy or stopped. Nobody can be quicker than that.
 */
export const answerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), result: z.unknown(), ...timing }),
  z.object({
    ok: z.literal(false),
    code: z.string(),
    outcome: z.enum(['none', 'unknown']).optional(),
    message: z.string(),
    ...timing,
  }),
]);
export type Answer = z.infer<typeof answerSchema>;

export const receiptSchema = z.object({ version: z.number(), held: z.array(z.string()) });
export const turnsSchema = z.object({ ids: z.array(z.string()), tier: z.string() });
export const stateSchema = z.object({
  n: z.int().optional(),
  version: z.number().optional(),
  tier: z.string(),
});
export const countSchema = z.object({ ids: z.array(z.string()) });
export const profileSchema = z.object({ n: z.int(), tier: z.string() });
export const flushSchema = z.object({
  failed: z.int(),
  remaining: z.int(),
  unknown: z.boolean(),
});
export const sampleSchema = z.object({
  heapBytes: z.number(),
  handles: z.record(z.string(), z.int()),
});
export type Sample = z.infer<typeof sampleSchema>;
export const conditionSchema = z.object({
  healthy: z.boolean(),
  breaker: z.string(),
  pending: z.int(),
});

/** What an instance is started with. */
export const workerSettingsSchema = z.object({
  name: z.string(),
  redisUrl: z.string(),
  supabaseUrl: z.string(),
  supabaseKey: z.string(),
  /** Where the source of derived values answers. */
  sourceUrl: z.string(),
  offsetMs: z.int(),
  deadlineMs: z.int(),
  intervalMs: z.int(),
  journal: z.object({ dir: z.string(), mode: z.enum(['fallback', 'always']) }).optional(),
  /** Its events and refusals go here, where they are wanted. */
  trace: z.string().optional(),
});
export type WorkerSettings = z.infer<typeof workerSettingsSchema>;

/** What the oracle is started with. */
export const oracleSettingsSchema = z.object({
  seed: z.int(),
  callers: z.int(),
  supabaseUrl: z.string(),
  supabaseKey: z.string(),
  deadlineMs: z.int(),
  intervalMs: z.int(),
});
export type OracleSettings = z.infer<typeof oracleSettingsSchema>;

export const instanceSchema = z.object({
  /** The process: a new one for each start. `1.3` is the third of instance 1. */
  id: z.string(),
  slot: z.int(),
  url: z.string(),
});
export type InstanceAddress = z.infer<typeof instanceSchema>;

/** To the oracle. */
export const orderSchema = z.discriminatedUnion('order', [
  z.object({ order: z.literal('up'), instance: instanceSchema }),
  /** `at`: when it was killed. */
  z.object({ order: z.literal('down'), id: z.string() }),
  /** Callers begin, under names of this cycle. */
  z.object({ order: z.literal('begin'), cycle: z.int() }),
  /** Callers stop; answered when nobody waits for anything any more. */
  z.object({ order: z.literal('rest') }),
  z.object({ order: z.literal('fault'), id: z.int(), fault: z.string(), on: z.boolean() }),
  /** How much was acknowledged that Supabase is not known to have: of all, or of one process. */
  z.object({ order: z.literal('unsaved'), by: z.string().optional(), look: z.boolean() }),
  /** Whether all is saved that was acknowledged before this order of the number given. */
  z.object({ order: z.literal('mark') }),
  z.object({ order: z.literal('saved'), mark: z.number() }),
  z.object({ order: z.literal('audit'), cycle: z.int(), instances: z.array(instanceSchema) }),
  z.object({ order: z.literal('violation'), what: z.string(), guarantee: z.string() }),
  z.object({ order: z.literal('report') }),
]);
export type Order = z.infer<typeof orderSchema>;

export const unsavedSchema = z.object({ writes: z.int() });
export const markSchema = z.object({ mark: z.number() });
export const savedSchema = z.object({ saved: z.boolean() });

export const violationSchema = z.object({
  guarantee: z.string(),
  what: z.string(),
  atSeconds: z.number(),
  cycle: z.int(),
  during: z.array(z.string()),
});
export type Violation = z.infer<typeof violationSchema>;

export const findingsSchema = z.object({
  violations: z.array(violationSchema),
  /** How often what was done: calls by verb, answers by kind, checks by what was held against what. */
  figures: z.record(z.string(), z.number()),
});
export type Findings = z.infer<typeof findingsSchema>;
