/** `npm run serve`: the service alone, configured by its environment. What a container runs. */
import { ConfigError } from '@cache/core';
import { drainOnSignals } from '@cache/http';
import { pino } from 'pino';
import { openService, type Service } from './service.ts';

const logger = pino({ base: null });
let opened: Promise<Service> | undefined;

drainOnSignals({
  async drain(signal) {
    logger.info({ signal }, 'draining');
    const service = await opened?.catch(() => undefined);
    await service?.close();
    logger.info('drained');
  },
});

try {
  opened = openService({ env: process.env, logger });
  const { url, adminToken, adminTokenIsNew } = await opened;
  // Not a line of the log: logs are kept and sent around.
  if (adminTokenIsNew) process.stderr.write(`The admin token of this start: ${adminToken}\n`);
  logger.info({ url, pid: process.pid }, 'listening');
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
