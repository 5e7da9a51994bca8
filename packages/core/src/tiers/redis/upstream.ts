/**
 * What the tier speaks to, seen as shards: one server that has them all (`incarnation.ts`), or the
 * nodes of a Cluster that have some each (`cluster.ts`). Nothing here is queued for somebody who is
 * away: what can't be sent now is rejected, and was not sent.
 */
import type { Epochs } from './handshake.ts';
import type { ScriptCall } from './scripts.ts';
import type { Command, Session } from './session.ts';

/** A session through its handshake, and the epochs to quote on it. */
export interface Known {
  readonly session: Session;
  readonly epochs: Epochs;
}

/** A command on keys of one shard. */
export type ShardCommand = readonly [shard: number, command: Command];

export interface Upstream {
  /** Shards may be on different servers: no command may name keys of two. */
  readonly isSplit: boolean;
  /** There is a connection, to some of the shards at least. */
  readonly isUp: boolean;
  /** One shard for each server, that of shard 0 first. */
  readonly heads: readonly number[];
  /** Connects now, where it is not; rejects where that fails. */
  connect(signal?: AbortSignal): Promise<void>;
  /** The server of a shard. */
  known(signal: AbortSignal | undefined, shard: number): Promise<Known>;
  /** Each command to the server of its shard; the replies in their order, errors among them. */
  send(commands: readonly ShardCommand[], signal?: AbortSignal): Promise<readonly unknown[]>;
  /**
   * Scripts, each sent to the server of its keys in the turn of the event loop in which the epochs
   * that they quote were known to be right. Where one is denied its epoch, that is found out anew.
   */
  run(
    toCalls: (epochs: Epochs) => readonly ScriptCall[],
    signal?: AbortSignal,
  ): Promise<readonly unknown[]>;
  /** A reply denied the epoch that was quoted. Late replies about an earlier one change nothing. */
  deny(known: Known): void;
  /** PING and handshake; rejects where either fails. */
  probe(signal?: AbortSignal): Promise<void>;
  /** Drops every connection with everything that waits on it, and makes others at once. */
  reconnect(): void;
  close(): Promise<void>;
}
