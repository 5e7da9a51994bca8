import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { GuaranteesReporter } from './apps/chaos/src/guarantees/reporter.ts';

/**
 * The packages are tested from their sources: no build, no stale `dist`. Vite's own `module` is
 * not among them: it stands for files that only a bundler can load.
 */
const conditions = ['@cache/source', 'node', 'import', 'default'];

/**
 * What starts no server of its own, or none that it harms, and changes nothing in its process: its
 * files share processes, and what these have loaded.
 */
const together = [
  'packages/core/test/{simulation,types,unit}/**/*.test.ts',
  'packages/{audio,espeak,http}/test/**/*.test.ts',
];
const all = ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts'];

const config: ViteUserConfig = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    projects: [
      { extends: true, test: { name: 'alone', include: all, exclude: together } },
      { extends: true, test: { name: 'together', include: together, isolate: false } },
    ],
    setupFiles: ['packages/testing/test/no-survivors.ts'],
    pool: 'forks',
    // More than cores: most of them wait, for a server to start or a fault to pass.
    maxWorkers: 3,
    // Compiling the same sources anew is half of what it takes to start one of the hundreds of
    // processes that the tests start; what is compiled is found by its content, never stale.
    env: {
      NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/node', import.meta.url)),
      // Most databases of the tests live for seconds: compiling PGlite well costs more than it gains.
      CACHE_TESTING_NODE_FLAGS: '--liftoff-only',
    },
    testTimeout: 20_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    retry: 0,
    reporters: ['default', new GuaranteesReporter()],
  },
});

export default config;
