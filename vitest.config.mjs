import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** @param {string} file */
const at = (file) => fileURLToPath(new URL(file, import.meta.url));

/**
 * Suites that drive real components: one file at a time, so that they do not disturb each other.
 *
 * @param {string} name
 * @param {number} seconds
 */
function realSuite(name, seconds) {
  return {
    extends: /** @type {const} */ (true),
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      fileParallelism: false,
      testTimeout: seconds * 1000,
      hookTimeout: seconds * 1000,
    },
  };
}

export default defineConfig({
  resolve: { alias: { '#ui': at('./webview/ui/toolkit.ts') } },
  test: {
    // Waits end when what they wait for happens; the default of a second is short for a busy machine.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 30_000 },
      },
      realSuite('filesystem', 120),
      realSuite('debug', 120),
      realSuite('scenarios', 120),
      realSuite('frontend', 120),
      realSuite('guest', 180),
      realSuite('webview', 60),
      realSuite('package', 120),
      realSuite('workbench', 180),
    ],
    coverage: {
      provider: 'v8',
      include: ['daemon/**/*.ts', 'extension/core/**/*.ts', 'webview/**/*.ts'],
      reporter: ['text-summary', 'html'],
      reportsDirectory: 'coverage',
    },
  },
});
