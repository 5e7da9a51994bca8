/** Whether a child process and its pipes keep this process running. */
import type { ChildProcess } from 'node:child_process';

export function holdOpen(child: ChildProcess, hold: boolean): void {
  for (const handle of [child, child.stdin, child.stdout, child.stderr]) {
    if (!isCountable(handle)) continue;
    if (hold) handle.ref();
    else handle.unref();
  }
}

/** The pipes of a child are sockets, which their declared types do not say. */
function isCountable(handle: unknown): handle is { ref(): void; unref(): void } {
  return typeof handle === 'object' && handle !== null && 'ref' in handle && 'unref' in handle;
}
