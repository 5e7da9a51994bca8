/** Real processes of the service, for tests that kill and freeze them. */
export type { ServiceProcess } from '@cache/testing';
export { startService } from '../../src/service-process.ts';
