/**
 * The end of a program, on purpose: the first SIGTERM or SIGINT drains, the second ends at once.
 * Codes are those of a shell: 128 and the signal's number.
 */

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** What asks a program to end. */
export type EndSignal = keyof typeof CODES;

/** What {@link drainOnSignals} takes. */
export interface ShutdownOptions {
  /** Called once, with what was asked for. The program ends when it resolves: code 0, or 1 where it rejects. */
  readonly drain: (signal: EndSignal) => Promise<void>;
  /** What must be done even where nobody waits for the drain. Synchronous. */
  readonly atOnce?: (() => void) | undefined;
}

/** From now on signals are answered by draining. */
export function drainOnSignals({ drain, atOnce }: ShutdownOptions): void {
  let asked = false;
  const onSignal = (signal: EndSignal) => {
    if (asked) {
      atOnce?.();
      process.exit(CODES[signal]);
    }
    asked = true;
    drain(signal).then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGINT', () => onSignal('SIGINT'));
  process.on('SIGTERM', () => onSignal('SIGTERM'));
  process.on('SIGHUP', () => onSignal('SIGHUP'));
}
