/**
 * What happened, as an observer outside the processes knows it: every write that was proposed,
 * every acknowledgement, every answer of a read; and the violations found on the way.
 */
import type { Address, AddressId } from '../../src/model/key.ts';
import type { World } from './world.ts';

export type Verb = 'set' | 'delete' | 'create' | 'update' | 'append' | 'delete-log';

/** One write of a value under one intent, acknowledged or not. */
export interface Proposal {
  readonly verb: Verb;
  readonly version: number;
  readonly intent: number;
  /** What an update was computed from: the intent of its base; 0 where there was none. */
  readonly base: number | undefined;
  /** Equal for all attempts at one update. */
  readonly token: number;
}

export interface Acknowledged {
  readonly verb: Verb;
  readonly instance: number;
  readonly address: Address;
  readonly version: number;
  /** Of a value. */
  readonly intent: number;
  /** Of an item of a log. */
  readonly itemId: string | undefined;
  readonly held: 'l2' | 'l3';
  readonly startedAt: number;
  readonly ackedAt: number;
}

/** What a reader saw of a log. */
export interface SeenLog {
  readonly instance: number;
  readonly address: Address;
  readonly ids: readonly string[];
}

export type ViolationKind =
  | 'lost set'
  | 'lost update'
  | 'lost item'
  | 'lost deletion'
  | 'doubled update'
  | 'doubled item'
  | 'regressed read'
  | 'regressed log'
  | 'unproven log'
  | 'order of own writes'
  | 'order at L2'
  | 'order of log'
  | 'version of item'
  | 'ignored write'
  | 'diverged L1'
  | 'diverged L2'
  | 'not quiescent';

export interface Violation {
  readonly kind: ViolationKind;
  readonly detail: string;
  /** Of two acknowledgements in the wrong order: when they were. */
  readonly between: readonly [earlier: number, later: number] | undefined;
}

export class History {
  readonly acknowledged: Acknowledged[] = [];
  readonly seenLogs: SeenLog[] = [];
  readonly violations: Violation[] = [];
  /** By intent. A retry of one write changes its version, never its intent. */
  readonly proposals: Map<number, Proposal> = new Map<number, Proposal>();
  /** Versions under which a deletion of a log was proposed. */
  readonly deletions: Map<AddressId, number[]> = new Map<AddressId, number[]>();
  /** What an item of a log was meant to be: two ids of one token are the same item twice. */
  readonly tokens: Map<string, number> = new Map<string, number>();
  /** Items whose append was not answered by L2: they may be seen at two places until flushed. */
  readonly wandering: Set<string> = new Set<string>();
  /** Items whose id was said again after its log was deleted: another item, with another place. */
  readonly saidAnew: Set<string> = new Set<string>();
  /** When a process was killed, and when Redis lost something. */
  readonly kills: number[] = [];
  readonly losses: number[] = [];
  readonly #world: World;
  #lastId = 0;

  constructor(world: World) {
    this.#world = world;
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  propose(proposal: Proposal): void {
    this.proposals.set(proposal.intent, proposal);
  }

  proposeDeletion(address: Address, version: number): void {
    const versions = this.deletions.get(address.id);
    if (versions === undefined) this.deletions.set(address.id, [version]);
    else versions.push(version);
  }

  acknowledge(acknowledged: Acknowledged): void {
    this.acknowledged.push(acknowledged);
    const { instance, verb, address, itemId, version, held } = acknowledged;
    this.#world.say(
      () => `P${instance} ACK ${verb} ${address.key} ${itemId ?? ''} ${short(version)} by ${held}`,
    );
  }

  violate(
    kind: ViolationKind,
    detail: () => string,
    between?: readonly [earlier: number, later: number],
  ): void {
    const violation = { kind, detail: detail(), between };
    this.violations.push(violation);
    this.#world.say(() => `!!! ${kind}: ${violation.detail}`);
  }
}

/** A version as readable text: milliseconds since the start, and the counter. */
export function short(version: number): string {
  return `v${Math.floor(version / 4096) - 20_000}.${version % 4096}`;
}
