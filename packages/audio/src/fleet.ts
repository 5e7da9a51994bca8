/**
 * The instances of a service, as far as a clip is concerned: one of them speaks it, the others
 * listen to that one.
 *
 * A key's state, for the fleet:
 *
 *   free    → held      `claim` by one instance, with a random token, for a second at a time
 *   held    → held      the holder extends it while it speaks
 *   held    → free      the holder ended it (whole or failed), or fell silent: killed, cut off
 *   held    → voided    `void`, by whoever deleted or refreshes the clip: the holder's listeners
 *                       hear it to the end, and nothing is stored
 *   voided  → held      the next claim
 *
 * A broadcast belongs to a token, never to a key: who follows it hears one synthesis, and never
 * the beginning of one with the end of another. It lives as long as its holder extends it: where
 * it is gone without an end, the holder is. Then whoever has heard nothing yet claims anew, and
 * whoever has heard a part is told that it was interrupted.
 */

export type FleetPiece =
  | { readonly type: 'open'; readonly mediaType: string }
  | { readonly type: 'piece'; readonly bytes: Uint8Array };

/** The holder's side. Nothing here throws: a fleet that can't be told is one that does not hear. */
export interface Broadcast {
  open(mediaType: string): void;
  /** `keep`: bytes that a late follower is still to find; older ones may go. */
  piece(bytes: Uint8Array, keep: number): void;
  /** Whether it may be stored: nobody has voided it, and it was never lost. */
  isHeld(): Promise<boolean>;
  /** Whether another instance follows it. */
  isFollowed(): Promise<boolean>;
  /** Tells the followers. The lease is kept, for the storing. */
  end(outcome: BroadcastEnd): void;
  /** Lets go. Resolves to whether it was held until then. */
  release(): Promise<boolean>;
}

export type BroadcastEnd =
  | { readonly type: 'whole' }
  /** The provider failed: nobody needs to ask it again at once. */
  | { readonly type: 'failed'; readonly reason: string; readonly retryAfterMs?: number | undefined }
  /** Nothing is known of the provider: the holder only stopped. */
  | { readonly type: 'stopped' };

export type Claim =
  /** The fleet can't be reached. */
  | { readonly status: 'alone' }
  | { readonly status: 'mine'; readonly broadcast: Broadcast }
  | {
      readonly status: 'theirs';
      /**
       * Ends where the clip does. Throws {@link HolderGone}, or `SynthesisError` where the holder
       * says that the provider failed.
       */
      readonly follow: (signal: AbortSignal) => AsyncIterable<FleetPiece>;
    };

/** `unknown`: this instance could not listen for a while, and anything may have been voided. */
export type VoidNews =
  | { readonly what: 'clip'; readonly key: string }
  | { readonly what: 'all' }
  | { readonly what: 'unknown' };

/** Whoever was speaking is gone, or can't be heard any more. */
export class HolderGone extends Error {
  override readonly name = 'HolderGone';
}

export interface Fleet {
  /** `force`: takes it from whoever has it. Never throws. */
  claim(
    key: string,
    options: { readonly force: boolean; readonly signal: AbortSignal },
  ): Promise<Claim>;
  /**
   * What is being spoken under this key is not stored, and every instance forgets its own copy;
   * of all clips without a key. Throws `StoreError` where the fleet can't be told.
   */
  void(key: string | undefined): Promise<void>;
  /** Another clip is stored under this key: every other instance forgets its own copy. */
  renewed(key: string): Promise<void>;
  /** Called where another instance voids, or renews. */
  onVoid(listener: (news: VoidNews) => void): void;
  /** Notes a use; whether there was one within the window before. */
  isSecondUse(key: string, windowMs: number, signal: AbortSignal): Promise<boolean>;
  /** Counts hearings of a clip, by day. Never throws. */
  used(key: string): void;
  /** The clips most heard on the day before, with their counts. */
  usedYesterday(): Promise<ReadonlyMap<string, number>>;
  /** Resolves when the fleet can be reached. */
  ready(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
