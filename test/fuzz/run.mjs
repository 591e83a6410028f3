/**
 * `npm run fuzz`: runs the fuzzer with the addon built under sanitizers.
 *
 *     npm run fuzz                                   what `npm test` runs: more than 5 million inputs
 *     npm run fuzz -- --tests                        first the addon's own tests, also sanitized
 *     npm run fuzz -- --minutes 30                   new seeds for that long
 *     npm run fuzz -- --kind fuse --seed 7           one session again
 *     npm run fuzz -- --kind fuse --seed 7 --inputs 312   its first inputs, the last of them shown
 *
 * A session is a number of inputs that follow from its seed alone. What goes wrong is printed with
 * its kind, its seed and the fewest inputs that lead to it.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildSanitized, sanitizedRoot } from '../../native/build.mjs';
import { bundleDaemon, bundleForNode } from '../../scripts/build.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');

/**
 * What a run without arguments does: for each kind, how many sessions of how many inputs.
 *
 * @type {Readonly<Record<string, {sessions: number, inputs: number}>>}
 */
const PLAN = {
  fuse: { sessions: 650, inputs: 4000 },
  debugged: { sessions: 24, inputs: 1500 },
  chains: { sessions: 600, inputs: 4000 },
  messages: { sessions: 150, inputs: 2000 },
  daemon: { sessions: 6, inputs: 100 },
};

/** Those of test/unit that use the addon; names begin so. */
const UNIT_TESTS = ['native', 'passthrough', 'virtqueue', 'vhost'];

const WORKERS = 2;
/** No input takes this long, not even one before which a daemon starts on a busy machine. */
const HANG_MS = 60_000;
const MOST_MEMORY = 3 * 2 ** 30;
/** A report of a sanitizer and the last inputs. */
const MOST_OUTPUT = 30_000;
const PROGRESS_BYTES = 4096;

/** @typedef {{kind: string, seed: number, inputs: number, tell?: boolean}} Order */
/** @typedef {{order: Order, at: number, output: string}} Failure */

function say(text) {
  process.stdout.write(`${text}\n`);
}

/** Builds the fuzzer and both sanitized addons. @returns {Promise<string>} the worker's program */
async function buildFuzzer() {
  const guard = path.join(root, 'out', 'fuzz', 'guardedMappings.o');
  mkdirSync(path.dirname(guard), { recursive: true });
  execFileSync('gcc', [
    ...['-c', '-O2', '-fPIC', '-D_GNU_SOURCE', '-Wall', '-Wextra'],
    ...['-o', guard, path.join(here, 'native', 'guardedMappings.c')],
  ]);
  buildSanitized(undefined, undefined, `-Wl,--wrap=mmap64,--wrap=munmap ${guard}`);
  buildSanitized(path.join(here, 'native'), 'fuzzing');
  const outdir = path.join(root, 'out', 'fuzz');
  await bundleForNode({ worker: path.join(here, 'worker.ts') }, outdir);
  // Beside the sanitized addon, which it finds there.
  await bundleDaemon(path.join(sanitizedRoot, 'daemon'));
  return path.join(outdir, 'worker.js');
}

/** What a process needs that loads sanitized addons. */
function sanitizedEnvironment() {
  const libasan = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  return {
    ...process.env,
    LD_PRELOAD: libasan.trim(),
    // Node leaves its memory to the kernel when it ends, so leaks cannot be told.
    ASAN_OPTIONS: 'detect_leaks=0:quarantine_size_mb=32',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  };
}

/**
 * The unit tests that use the addon, with the sanitized one in its place: in a mount namespace of
 * their own, where it is mounted over the ordinary one.
 *
 * @returns {boolean} whether they passed
 */
function unitTests() {
  const addon = path.join('prebuilds', `linux-${process.arch}`, 'virtiofsd-inspector.node');
  const script =
    'mount --bind "$1" "$2" && LD_PRELOAD="$3" && export LD_PRELOAD && shift 3 && exec "$@"';
  const { LD_PRELOAD, ...env } = sanitizedEnvironment();
  const done = spawnSync(
    'unshare',
    [
      ...['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'],
      ...[path.join(sanitizedRoot, addon), path.join(root, addon), LD_PRELOAD],
      ...[process.execPath, path.join(root, 'node_modules/vitest/vitest.mjs'), 'run'],
      ...['--project', 'unit', ...UNIT_TESTS],
    ],
    { cwd: root, env, stdio: 'inherit' },
  );
  return done.status === 0;
}

/** One process that runs sessions, in a mount namespace of its own. */
class Worker {
  #child;
  #progress;
  #output = '';
  #idle;

  /** @param {string} program @param {string} folder */
  constructor(program, folder) {
    this.#progress = path.join(folder, 'progress');
    const fd = openSync(this.#progress, 'w');
    writeSync(fd, Buffer.alloc(PROGRESS_BYTES));
    closeSync(fd);
    const playground = path.join(folder, 'playground');
    mkdirSync(playground);
    this.#child = spawn(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', process.execPath, '--enable-source-maps'],
        // Or Node takes SIGSEGV for itself, and nothing is reported.
        ...['--disable-wasm-trap-handler', program, sanitizedRoot, this.#progress, playground],
      ],
      {
        env: sanitizedEnvironment(),
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      },
    );
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (data) => (this.#output = `${this.#output}${data}`.slice(-MOST_OUTPUT)));
    }
    this.#idle = this.#answer();
  }

  /** The next message, or why none came. @returns {Promise<string | null>} */
  #answer() {
    return new Promise((resolve) => {
      const settle = (end) => {
        this.#child.off('message', heard).off('close', closed);
        resolve(end);
      };
      const heard = () => settle(null);
      const closed = (status, signal) => settle(`It ended: ${signal ?? status}.`);
      this.#child.on('message', heard).on('close', closed);
    });
  }

  /** Inputs begun in the session at hand. */
  #inputs() {
    return readFileSync(this.#progress).readUInt32LE(0);
  }

  /** Pages resident, in bytes. (A limit of the sanitizer's own opens descriptors now and then.) */
  #memory() {
    return Number(readFileSync(`/proc/${this.#child.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
  }

  /** @param {Order} order @returns {Promise<Failure | null>} */
  async run(order) {
    let end = await this.#idle;
    if (end === null) {
      this.#idle = this.#answer();
      this.#child.send(order);
      let before = -1;
      let seen = Date.now();
      const watch = setInterval(() => {
        const now = this.#inputs();
        if (now !== before) seen = Date.now();
        before = now;
        if (Date.now() - seen > HANG_MS) this.#kill(`Input ${now} took more than ${HANG_MS} ms.`);
        if (this.#memory() > MOST_MEMORY)
          this.#kill(`${this.#memory()} bytes of memory are in use.`);
      }, 1000);
      end = await this.#idle;
      clearInterval(watch);
    }
    const output = this.#output;
    this.#output = '';
    if (end !== null) return { order, at: this.#inputs(), output: `${output}${end}` };
    if (order.tell) say(output);
    return null;
  }

  #kill(why) {
    this.#output += `${why}\n`;
    this.#child.kill('SIGKILL');
  }

  stop() {
    if (this.#child.connected) this.#child.disconnect();
  }
}

/** @param {string} program @param {string} folder @param {Order} order */
async function once(program, folder, order) {
  const place = mkdtempSync(path.join(folder, 'once-'));
  const worker = new Worker(program, place);
  const failure = await worker.run(order);
  worker.stop();
  return failure;
}

/**
 * Looks for the fewest inputs with which the session still fails. (What a session notices only when
 * it ends happened earlier.)
 *
 * @param {string} program @param {string} folder @param {Failure} failure
 * @returns {Promise<Failure>}
 */
async function shortest(program, folder, failure) {
  let most = failure.at;
  let fewest = 1;
  const order = { ...failure.order, tell: true };
  let best = await once(program, folder, { ...order, inputs: most });
  if (best === null) return failure;
  while (fewest < most) {
    const middle = (fewest + most) >> 1;
    const again = await once(program, folder, { ...order, inputs: middle });
    if (again === null) {
      fewest = middle + 1;
    } else {
      best = again;
      most = middle;
    }
  }
  return best;
}

/** @returns {Generator<Order>} */
function* planned(kinds) {
  const { seeds } = JSON.parse(readFileSync(path.join(here, 'seeds', 'seeds.json'), 'utf8'));
  for (const { kind, seed, inputs } of seeds) {
    if (kinds.includes(kind)) yield { kind, seed, inputs };
  }
  const most = Math.max(...kinds.map((kind) => PLAN[kind].sessions));
  for (let seed = 1; seed <= most; seed++) {
    for (const kind of kinds) {
      const { sessions, inputs } = PLAN[kind];
      if (seed <= sessions) yield { kind, seed, inputs };
    }
  }
}

/** New seeds until the time is over. @returns {Generator<Order>} */
function* fresh(kinds, minutes) {
  const end = Date.now() + minutes * 60_000;
  for (let seed = Date.now() % 0xffffffff; Date.now() < end; seed = (seed + 1) >>> 0) {
    for (const kind of kinds) yield { kind, seed, inputs: PLAN[kind].inputs };
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      kind: { type: 'string' },
      seed: { type: 'string' },
      inputs: { type: 'string' },
      minutes: { type: 'string' },
      tests: { type: 'boolean' },
    },
  });
  const kinds = values.kind === undefined ? Object.keys(PLAN) : [values.kind];
  const unknown = kinds.filter((kind) => PLAN[kind] === undefined);
  if (unknown.length > 0) throw new Error(`There is no kind ${unknown[0]}: ${Object.keys(PLAN)}.`);
  const program = await buildFuzzer();
  if (values.tests === true && !unitTests()) {
    process.exitCode = 1;
    return;
  }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'fuzz-'));
  const started = Date.now();
  /** @type {Iterator<Order>} */
  let orders = planned(kinds);
  if (values.seed !== undefined) {
    const inputs = values.inputs === undefined ? undefined : Number(values.inputs);
    const seed = Number(values.seed);
    const tell = inputs !== undefined;
    const sessions = kinds.map((kind) => ({
      ...{ kind, seed, tell },
      inputs: inputs ?? PLAN[kind].inputs,
    }));
    orders = sessions[Symbol.iterator]();
  } else if (values.minutes !== undefined) {
    orders = fresh(kinds, Number(values.minutes));
  }

  const counts = Object.fromEntries(kinds.map((kind) => [kind, { sessions: 0, inputs: 0 }]));
  let slowest = { ms: 0, order: { kind: '', seed: 0, inputs: 0 } };
  /** @type {Failure | null} */
  let failure = null;
  const serve = async (number) => {
    const place = path.join(folder, `worker-${number}`);
    mkdirSync(place);
    const worker = new Worker(program, place);
    for (let next = orders.next(); failure === null && !next.done; next = orders.next()) {
      const begun = Date.now();
      const failed = await worker.run(next.value);
      if (Date.now() - begun > slowest.ms) slowest = { ms: Date.now() - begun, order: next.value };
      if (failed !== null) {
        failure ??= failed;
        return;
      }
      const count = counts[next.value.kind];
      count.sessions++;
      count.inputs += next.value.inputs;
    }
    worker.stop();
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, i) => serve(i)));

  const seconds = (Date.now() - started) / 1000;
  let total = 0;
  for (const [kind, { sessions, inputs }] of Object.entries(counts)) {
    total += inputs;
    say(`${kind.padEnd(10)} ${inputs.toLocaleString('en')} inputs in ${sessions} sessions`);
  }
  const { ms, order: longest } = slowest;
  say(
    `${total.toLocaleString('en')} inputs in ${seconds.toFixed(0)} s; the longest session was ` +
      `${longest.kind} ${longest.seed} with ${ms} ms`,
  );
  if (failure !== null) {
    const { order, at, output } = failure;
    say(`\n${output}\n\nFAILED at input ${at} of ${order.kind} session ${order.seed}.`);
    const { order: least, output: leastOutput } = await shortest(program, folder, failure);
    if (leastOutput !== output) say(`\nWith the fewest inputs:\n${leastOutput}`);
    say(
      `\nAgain: npm run fuzz -- --kind ${least.kind} --seed ${least.seed} --inputs ${least.inputs}`,
    );
    process.exitCode = 1;
  }
  rmSync(folder, { recursive: true, force: true });
}

await main();
