/**
 * How often this process has played each fault on a real server, a real connection or a real
 * process. A suite counts with it what it did: a test of a fault that was never played proves
 * nothing.
 */

/**
 * `kill`: SIGKILL. `freeze`: SIGSTOP. `restart`: of a server that was running. `empty`: its data
 * gone, its connections not. `cut`: connections broken. `stall`: connections that pass nothing.
 * `slow`: connections with a delay.
 */
export type FaultKind = 'kill' | 'freeze' | 'restart' | 'empty' | 'cut' | 'stall' | 'slow';

const played = new Map<FaultKind, number>();

/** Counts a fault that was played by other means than this package's, as on a process of one's own. */
export function countFault(kind: FaultKind): void {
  played.set(kind, (played.get(kind) ?? 0) + 1);
}

/** What was played since this process began. */
export function injectedFaults(): ReadonlyMap<FaultKind, number> {
  return new Map(played);
}
