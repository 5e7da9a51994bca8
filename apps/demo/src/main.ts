/** `npm run serve`: the service alone, configured by its environment. What a container runs. */
import { runService } from '@cache/http';
import { pino } from 'pino';
import { openDemo } from './service.ts';

await runService({ logger: pino({ base: null }), open: openDemo });
