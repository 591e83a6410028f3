/**
 * `npm test`: installs what is missing, builds, and runs every suite against real components.
 * `npm test -- unit scenarios` runs those two.
 *
 * A suite whose components cannot be had is listed as skipped, with the reason; with CI=true that
 * is a failure.
 */

import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { preparePackages, root } from './prepare.mjs';
import { ensureC, ensureRust } from './peers.mjs';
import { ensure } from './system.mjs';

const BUILD = ['g++', 'make', 'python3'];
const FILE_SYSTEMS = ['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs', 'unshare', 'strace', 'fusermount3'];
const BROWSER = ['chromium', 'fonts'];

/** Why this user cannot mount, or null. @returns {string | null} */
function cannotMount() {
  if (process.getuid?.() !== 0) return 'it mounts file systems and needs root';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/fuse is missing: load the fuse module, or pass the device into the container';
  }
  return null;
}

/** Why daemons cannot be compared here, or null. @returns {string | null} */
function cannotCompare() {
  if (process.getuid?.() !== 0) return 'it starts virtiofsd and needs root';
  try {
    ensureC();
    ensureRust();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return null;
}

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {string[]} components what scripts/system.mjs must find or install
 * @property {() => string | null} [cannot] why it cannot run here
 * @property {string[][]} commands run in order
 */

/** @param {string} name @param {string[]} extra @returns {string[]} */
function vitest(name, ...extra) {
  return ['npx', 'vitest', 'run', '--project', name, ...extra];
}

/** @type {Suite[]} */
const SUITES = [
  { name: 'types', components: [], commands: [['npx', 'tsc', '-b']] },
  {
    name: 'style',
    components: [],
    commands: [
      ['npx', 'eslint', '.'],
      ['npx', 'prettier', '--check', '--log-level=warn', '.'],
    ],
  },
  { name: 'unit', components: ['git'], commands: [vitest('unit', '--coverage')] },
  {
    name: 'filesystem',
    components: [...FILE_SYSTEMS, 'git', 'gcc', 'make', 'sqlite3', 'rsync', 'setfattr', 'setfacl'],
    cannot: cannotMount,
    commands: [vitest('filesystem')],
  },
  {
    name: 'debug',
    components: ['mkfs.ext4'],
    cannot: cannotMount,
    commands: [vitest('debug')],
  },
  {
    name: 'scenarios',
    components: [...FILE_SYSTEMS, 'git', 'mksquashfs', 'mkfs.erofs', 'setpriv'],
    cannot: cannotMount,
    commands: [vitest('scenarios')],
  },
  {
    name: 'guest',
    components: [
      ...['qemu-system-x86_64', 'busybox', 'mkfs.ext4', 'unshare', 'git', 'gcc', 'make'],
      ...['sqlite3', 'rsync', 'setfattr', 'fio'],
    ],
    cannot: cannotMount,
    commands: [vitest('guest')],
  },
  {
    name: 'frontend',
    components: ['mkfs.ext4', 'setfattr'],
    cannot: cannotCompare,
    commands: [vitest('frontend')],
  },
  {
    name: 'fuzz',
    components: ['gcc', 'g++', 'make', 'unshare'],
    cannot: () => (process.getuid?.() === 0 ? null : 'it mounts file systems and needs root'),
    commands: [['node', 'test/fuzz/run.mjs', '--tests']],
  },
  { name: 'webview', components: BROWSER, commands: [vitest('webview')] },
  {
    name: 'package',
    components: [],
    commands: [['node', 'scripts/package.mjs'], vitest('package')],
  },
  {
    name: 'workbench',
    components: [...BROWSER, 'mkfs.ext4', 'rg', 'krb5-headers', 'pkg-config', 'g++', 'make'],
    cannot: cannotMount,
    commands: [vitest('workbench')],
  },
];

/** @param {string} text */
function say(text) {
  process.stdout.write(`${text}\n`);
}

/** @param {string[]} command @returns {boolean} */
function succeeds([program = '', ...args]) {
  const started = Date.now();
  const done = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  say(`${[program, ...args].join(' ')}: ${done.status === 0 ? 'ok' : 'FAILED'}, ${seconds} s`);
  return done.status === 0;
}

/** @param {Suite} suite @returns {string | null} why it must be skipped */
function whyNot({ components, cannot }) {
  try {
    ensure(components);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return cannot?.() ?? null;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name));
if (unknown.length > 0) {
  say(
    `There is no suite ${unknown.join(', ')}; there are ${SUITES.map((s) => s.name).join(', ')}.`,
  );
  process.exit(2);
}

preparePackages();
ensure(BUILD);
const { buildAll } = await import('./build.mjs');
await buildAll();

/** @type {string[]} */
const results = [];
const count = { passed: 0, failed: 0, skipped: 0 };
for (const suite of SUITES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  say(`\n── ${suite.name} ──`);
  const reason = whyNot(suite);
  const result = reason !== null ? 'skipped' : suite.commands.every(succeeds) ? 'passed' : 'failed';
  count[result]++;
  results.push(`${suite.name.padEnd(12)} ${result}${reason === null ? '' : `: ${reason}`}`);
}
say(`\n${results.join('\n')}\n`);
say(`suites: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
const skippedCounts = process.env.CI === 'true' && count.skipped > 0;
if (skippedCounts) say('With CI=true a skipped suite is a failure.');
process.exitCode = count.failed > 0 || skippedCounts ? 1 : 0;
