/**
 * The other virtio-fs daemons, which tests and benchmarks run beside ours: Debian's C virtiofsd and
 * the Rust virtiofsd.
 *
 * As a program: `node scripts/peers.mjs`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './prepare.mjs';
import { ensure, findProgram } from './system.mjs';

/** The version whose defaults and answers ours are compared with. */
export const RUST_VERSION = '1.13.3';

const rustRoot = path.join(root, '.cache/virtiofsd');

/** Where the Rust virtiofsd is, or will be. */
export const rustVirtiofsd = path.join(rustRoot, 'bin/virtiofsd');

/** Where the C virtiofsd is, or will be. */
export const cVirtiofsd = '/usr/lib/qemu/virtiofsd';

/** @returns {boolean} whether the Rust virtiofsd is there in the wanted version */
function hasRust() {
  if (!existsSync(rustVirtiofsd)) return false;
  const record = path.join(rustRoot, '.crates.toml');
  return existsSync(record) && readFileSync(record, 'utf8').includes(`virtiofsd ${RUST_VERSION} `);
}

/**
 * Makes sure that the C virtiofsd is there.
 *
 * @throws {Error} with a sentence that says what to do
 */
export function ensureC() {
  ensure(['c-virtiofsd']);
}

/**
 * Makes sure that the Rust virtiofsd is there; building it takes a minute or two, once.
 *
 * @throws {Error} with a sentence that says what to do
 */
export function ensureRust() {
  if (hasRust()) return;
  const cargo = findProgram('cargo');
  const advice = `cargo install virtiofsd --locked --version ${RUST_VERSION} --root ${rustRoot}`;
  if (cargo === undefined) {
    throw new Error(`The Rust virtiofsd is missing, and so is cargo. With it, run: ${advice}`);
  }
  ensure(['gcc', 'seccomp-headers', 'cap-ng-headers']);
  process.stderr.write(`Building virtiofsd ${RUST_VERSION}, once\n`);
  mkdirSync(rustRoot, { recursive: true });
  const done = spawnSync(
    cargo,
    [
      ...['install', 'virtiofsd', '--locked', '--force'],
      ...['--version', RUST_VERSION, '--root', rustRoot],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] },
  );
  if (done.status !== 0) {
    const why = done.error?.message ?? done.stderr.trim().split('\n').slice(-5).join('\n');
    throw new Error(`The Rust virtiofsd cannot be built by: ${advice}\n${why}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    ensureC();
    ensureRust();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
