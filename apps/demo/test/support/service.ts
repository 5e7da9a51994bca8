/** Real processes of the service, for tests that kill and freeze them. */
export {
  type ServiceProcess,
  type ServiceProcessOptions,
  startService,
} from '../../src/service-process.ts';
