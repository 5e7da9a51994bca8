/** What goes to the thread of the voice, and what comes back. */

export interface Job {
  readonly id: number;
  readonly args: readonly string[];
  /** To be spoken; `undefined`: the program only says something, with these arguments. */
  readonly text: string | undefined;
}

export interface JobDone {
  readonly id: number;
  readonly lines: readonly string[];
  /** A WAV file. */
  readonly sound: Uint8Array | undefined;
  /** Why there is none where there should be one. */
  readonly failure: string | undefined;
}
