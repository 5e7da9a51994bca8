/**
 * The rules of the protocol, by name, each with why. All are kept unless a run leaves one out,
 * and for each it is known which faults find out that it is missing: a rule whose absence
 * nothing notices is either not needed or not tested.
 */
import type { FaultName } from './fault-names.ts';

export interface Rule {
  /** What goes wrong without it. */
  readonly why: string;
  /** Faults under which its absence shows. */
  readonly faults: readonly FaultName[];
  /**
   * Where to look: this many schedules, from this seed (default 1). Any change to what a process
   * does makes other schedules of the same seeds; `--rules --runs 10000` finds new ones.
   */
  readonly schedules: number;
  readonly from?: number;
}

export type ShownRule =
  | 'settle-compares-stamp'
  | 'pending-has-no-ttl'
  | 'too-low-instead-of-plus-one'
  | 'same-stamp-on-retry'
  | 'cut'
  | 'cut-rises-on-release'
  | 'epoch'
  | 'epoch-is-unique'
  | 'epoch-starts-with-highest-cut'
  | 'scripts-quote-epoch'
  | 'run-id-before-first-command'
  | 'bypass-mark'
  | 'update-leaves-mark'
  | 'drain-when-breaker-opens'
  | 'outbox-is-floor'
  | 'outbox-kept-until-own-settle'
  | 'floor-read-before-and-after'
  | 'stale-pending-never-alone'
  | 'settle-removes-older'
  | 'put-settled-above-cut'
  | 'settle-names-frames'
  | 'unknown-frame-makes-partial'
  | 'partial-logs-united'
  | 'unproven-becomes-partial'
  | 'log-delete-floor'
  | 'backfill-quotes-cut'
  | 'create-quotes-cut'
  | 'l1-only-from-l2'
  | 'l1-fence'
  | 'l1-emptied-on-gap'
  | 'bus-names-intent'
  | 'l1-not-from-outbox-alone'
  | 'overtaken-outbox-never-alone'
  | 'l1-only-where-held'
  | 'own-write-counts-as-heard'
  | 'erased-stays-erased'
  | 'nothing-yet-only-if-proven'
  | 'cut-quoted-with-epoch'
  | 'update-flushes-pending-base'
  | 'unknown-update-never-rerun';

export const RULES: Readonly<Record<ShownRule, Rule>> = {
  'settle-compares-stamp': {
    why: 'A settle of an older write would take the pending mark off a newer one, which then never reaches L3.',
    faults: ['hiccup', 'l3down'],
    schedules: 20,
  },
  'pending-has-no-ttl': {
    why: 'A pending entry is the only copy that survives its process; one that may be evicted is lost with it.',
    faults: ['evict'],
    schedules: 20,
  },
  'too-low-instead-of-plus-one': {
    why: 'A version that the store chose by itself is one that the writer, its retry and L3 do not know.',
    faults: ['late', 'hiccup'],
    schedules: 20,
  },
  'same-stamp-on-retry': {
    why: 'A fallback to L3 under another name is another write: what timed out may still happen, and then both have.',
    faults: ['late', 'down'],
    schedules: 20,
  },
  cut: {
    why: 'Where L2 has no entry, an older write that arrives late would be taken for the newest.',
    faults: ['late', 'down'],
    schedules: 20,
    from: 60,
  },
  'cut-rises-on-release': {
    why: 'A read that missed before a release and fills after it would bring back what was there before.',
    faults: ['regress', 'skew'],
    schedules: 88,
  },
  epoch: {
    why: 'A server that came back with an older dump would serve the past as if it were settled.',
    faults: ['cut', 'regress'],
    schedules: 44,
  },
  'epoch-is-unique': {
    why: 'Counted from what the server remembers, an epoch comes a second time after it lost some.',
    faults: ['empty', 'kill'],
    schedules: 20,
    from: 440,
  },
  'epoch-starts-with-highest-cut': {
    why: 'An emptied server has no floor: a slower clock could write below what L3 already holds.',
    faults: ['regress', 'skew'],
    schedules: 92,
  },
  'scripts-quote-epoch': {
    why: 'A command that was sent to the server before must not act on the one that it has become.',
    faults: ['empty', 'kill'],
    schedules: 20,
    from: 75,
  },
  'run-id-before-first-command': {
    why: 'A new connection may lead to an older incarnation whose meta still shows the epoch that is quoted.',
    faults: ['cut', 'regress'],
    schedules: 24,
  },
  'bypass-mark': {
    why: 'A write that went around L2 leaves an older copy there, and nobody else would know.',
    faults: ['cut', 'kill'],
    schedules: 48,
  },
  'update-leaves-mark': {
    why: 'An update is in L3 before L2 hears of it, and its process may not live to tell.',
    faults: ['l3down', 'kill'],
    schedules: 20,
    from: 465,
  },
  'drain-when-breaker-opens': {
    why: 'What L2 holds may be gone: the outbox is then the only copy, for as short a time as possible.',
    faults: ['empty', 'kill'],
    schedules: 20,
    from: 185,
  },
  'outbox-is-floor': {
    why: 'When L2 does not answer, L3 lacks what this process has acknowledged: a reader would not see its own write.',
    faults: ['late'],
    schedules: 20,
  },
  'outbox-kept-until-own-settle': {
    why: 'L3 has the write but L2 may still serve the one before it.',
    faults: ['late', 'empty'],
    schedules: 20,
  },
  'floor-read-before-and-after': {
    why: 'A write may leave the outbox while a read is under way that asked L3 before it got there.',
    faults: ['hiccup', 'regress'],
    schedules: 40,
  },
  'stale-pending-never-alone': {
    why: 'A pending entry out of an old dump may be older than what L3 got since.',
    faults: ['cut', 'regress'],
    schedules: 28,
  },
  'settle-removes-older': {
    why: 'L3 has something newer than what L2 still shows, settled or pending.',
    faults: ['cut', 'empty'],
    schedules: 160,
  },
  'put-settled-above-cut': {
    why: 'The copy of an exact update may arrive after L3 and L2 have gone on and L2 has let go.',
    faults: ['late', 'down'],
    schedules: 28,
  },
  'settle-names-frames': {
    why: 'Another instance may have appended an older version meanwhile: a high-water mark would call it synced.',
    faults: ['hiccup', 'kill'],
    schedules: 44,
  },
  'unknown-frame-makes-partial': {
    why: 'L3 named an item that the entry lacks: it is no longer the whole log.',
    faults: ['cut', 'empty'],
    schedules: 56,
  },
  'partial-logs-united': {
    why: 'An append onto an absent entry knows one item: alone, it would hide all the others.',
    faults: ['late'],
    schedules: 28,
  },
  'unproven-becomes-partial': {
    why: 'A log that was created while L3 was away may turn out to have a past.',
    faults: ['l3down', 'l1'],
    schedules: 152,
  },
  'log-delete-floor': {
    why: 'A deletion below items that were appended since would take them along.',
    faults: ['hiccup', 'kill'],
    schedules: 32,
  },
  'backfill-quotes-cut': {
    why: 'What L3 said before a newer write was flushed and evicted must not be filled in after it.',
    faults: ['evict'],
    schedules: 20,
    from: 570,
  },
  'create-quotes-cut': {
    why: 'Between the look at L3 and the script, the log may have come, been flushed and been evicted.',
    faults: ['hiccup', 'l1'],
    schedules: 88,
  },
  'l1-only-from-l2': {
    why: 'Without an answer of L2 nobody says that this is the newest, and no message will correct it.',
    faults: ['late', 'hiccup'],
    schedules: 64,
  },
  'l1-fence': {
    why: 'A message, or an own write, that came while a read was under way would be undone by its copy.',
    faults: ['l3hiccup'],
    schedules: 20,
  },
  'l1-emptied-on-gap': {
    why: 'What was published while nobody listened was not heard.',
    faults: ['empty'],
    schedules: 24,
  },
  'bus-names-intent': {
    why: 'Two writes may carry one version: by the version alone, a copy of the older one would stay in L1.',
    faults: ['late', 'empty'],
    schedules: 20,
  },
  'l1-not-from-outbox-alone': {
    why: 'L2 missed and L3 did not answer: the own write that is answered instead may be older than L3, and no message will say so.',
    faults: ['l3down', 'evict'],
    schedules: 20,
    from: 230,
  },
  'overtaken-outbox-never-alone': {
    why: 'The outbox holds an own write until it is flushed, though this process may have shown a newer one since.',
    faults: ['l3hiccup', 'evict'],
    schedules: 20,
    from: 205,
  },
  'l1-only-where-held': {
    why: 'L2 confirms that it was told of a write through L3, also where it has something newer: that is no leave to keep a copy.',
    faults: ['hiccup', 'cut'],
    schedules: 20,
    from: 390,
  },
  'own-write-counts-as-heard': {
    why: 'Of two own writes under way at once, the older may be acknowledged last: its copy must not stand in for the newer.',
    faults: ['hiccup'],
    schedules: 20,
    from: 2390,
  },
  'erased-stays-erased': {
    why: 'A log created after a deletion, or settled by a flush, is whole: it has to know how far L3 erased, and own items that died must leave the outbox, or they are shown again.',
    faults: ['l3hiccup', 'evict'],
    schedules: 20,
    from: 3655,
  },
  'nothing-yet-only-if-proven': {
    why: 'A log that is created without an item leaves a settled copy that says there is nothing: only L3 may say so.',
    faults: ['l3down', 'evict'],
    schedules: 20,
    from: 430,
  },
  'cut-quoted-with-epoch': {
    why: 'A new epoch may begin at, or pass, the very cut that a fill or a create quotes from the one before.',
    faults: ['empty', 'skew'],
    schedules: 20,
    from: 4310,
  },
  'update-flushes-pending-base': {
    why: 'An update on what L3 holds, while something newer is pending, would overwrite it unread.',
    faults: [],
    schedules: 20,
  },
  'unknown-update-never-rerun': {
    why: 'An update whose answer was lost may have happened: running it again would add it twice.',
    faults: ['late'],
    schedules: 20,
  },
};

/**
 * Rules that are kept as a second line: no schedule has shown yet what goes wrong without one of
 * them alone, because other rules catch it later. They can be left out, too.
 */
export type SecondLine =
  | 'frames-take-l3-version'
  | 'drop-raises-cut'
  | 'unconfirmed-release-leaves-mark'
  | 'own-copy-not-over-gap';

export const SECOND_LINES: Readonly<Record<SecondLine, string>> = {
  'frames-take-l3-version':
    'The same item may have reached L3 under another version: two orders of one log, until it is read anew.',
  'drop-raises-cut':
    'After a drop L2 is empty while L3 holds something newer: what is older than that must not enter.',
  'unconfirmed-release-leaves-mark':
    'A drain past Redis, or a settle that was not confirmed, leaves L2 with something older, and its process may die.',
  'own-copy-not-over-gap':
    'While an own write was under way, L1 was emptied because messages were missed: one of them may have been newer.',
};

export type RuleName = ShownRule | SecondLine;

export const RULE_NAMES: readonly ShownRule[] = Object.keys(RULES).filter(isShownRule);

export function isShownRule(name: string): name is ShownRule {
  return Object.hasOwn(RULES, name);
}

export function isRuleName(name: string): name is RuleName {
  return isShownRule(name) || Object.hasOwn(SECOND_LINES, name);
}
