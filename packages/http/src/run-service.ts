/** A service as a program of its own: what a container runs. */
import { ConfigError, type Logger } from '@cache/core';
import type { Service, ServiceEnvironment } from './open-service.ts';
import { drainOnSignals } from './shutdown.ts';

/** What {@link runService} takes. */
export interface RunServiceOptions {
  readonly logger: Logger;
  /** Opens it: by `openService`, say. */
  readonly open: (options: {
    readonly env: ServiceEnvironment;
    readonly logger: Logger;
  }) => Promise<Pick<Service, 'url' | 'adminToken' | 'adminTokenIsNew' | 'close'>>;
}

/**
 * Runs until a signal asks for the end, and drains then. A configuration that can't be used is told
 * in a line and ends the process with code 1.
 */
export async function runService({ logger, open }: RunServiceOptions): Promise<void> {
  let opened: ReturnType<typeof open> | undefined;
  drainOnSignals({
    async drain(signal) {
      logger.info({ signal }, 'draining');
      const service = await opened?.catch(() => undefined);
      await service?.close();
      logger.info({}, 'drained');
    },
  });
  try {
    opened = open({ env: process.env, logger });
    const { url, adminToken, adminTokenIsNew } = await opened;
    // Not a line of the log: logs are kept and sent around.
    if (adminTokenIsNew) process.stderr.write(`The admin token of this start: ${adminToken}\n`);
    logger.info({ url, pid: process.pid }, 'listening');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
