/** The faults that a schedule may have, by name. What each does is in faults.ts. */
export type FaultName =
  | 'late'
  | 'hiccup'
  | 'l3hiccup'
  | 'cut'
  | 'down'
  | 'empty'
  | 'regress'
  | 'l3down'
  | 'kill'
  | 'skew'
  | 'evict'
  | 'l1';

export const FAULTS: Readonly<Record<FaultName, string>> = {
  late: 'what timed out may be executed later; some commands time out for no other reason',
  hiccup: 'one command in ten to L2 times out, executed or not',
  l3hiccup: 'one call in ten to L3 times out, executed or not',
  cut: 'one instance at a time cannot reach Redis, while the others can',
  down: 'Redis answers nobody for a while, and goes on with what it had',
  empty: 'Redis loses everything, with a restart or without one',
  regress: 'Redis restarts with an older dump, or a lagging replica takes over',
  l3down: 'L3 answers nobody for a while',
  kill: 'a process is killed, and another starts in its place',
  skew: 'the clocks of the processes are up to half a second apart',
  evict: 'Redis is short of memory: settled entries go',
  l1: 'copies in L1 go',
};

export function isFaultName(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name);
}

export const FAULT_NAMES: readonly FaultName[] = Object.keys(FAULTS).filter(isFaultName);
