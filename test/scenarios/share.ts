/**
 * Real file systems with the real daemon on them.
 *
 * Everything is mounted below one temporary folder of the test's process. A janitor, a small shell
 * that waits on a pipe, unmounts and removes all of it when the pipe ends: after the tests, after a
 * failed one, and also when the test's process was killed. So nothing is left in the mount
 * namespace of whoever runs this; a private namespace is not needed. (Loop devices are set up by
 * mount(8), which makes the kernel free them with their mount.)
 */

import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, it } from 'vitest';
import type { Connection } from '../../daemon/inspector/connect';
import { connect } from '../../daemon/inspector/connect';
import { errnoName } from '../../daemon/inspector/errnoName';
import { listRuntimeFiles } from '../../daemon/inspector/runtimeFiles';
import type { BudgetJson } from '../../daemon/protocol/budget';
import type {
  EventJson,
  HandleJson,
  HandleMode,
  HazardJson,
  IdsJson,
  LookupJson,
  Snapshot,
} from '../../daemon/protocol/json';
import { hazardJson } from '../../daemon/protocol/json';
import type { ProbeProgress, ProbeRequest } from '../../daemon/protocol/probe';
import { handleToJson } from '../../daemon/protocol/text';
import type { LaneJson } from '../../daemon/protocol/lanes';
import type { JudgementJson, WhyJson, WhySubject } from '../../daemon/protocol/why';
import type { ImplementationName } from '../../daemon/tables/implementations';
import type { ProbeMode } from '../../daemon/tables/hitKind';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import { loadAddon } from '../../native/index';
import { bundleDaemon } from '../../scripts/build.mjs';
import * as v from 'valibot';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const native = loadAddon(root);

const AT_FDCWD = -100;
export const O_PATH = 0x200000;
const MS_REMOUNT = 32;
const MS_NOSUID = 2;
const MS_NODEV = 4;

export const FILE_SYSTEMS = ['ext4', 'xfs', 'btrfs', 'tmpfs'] as const;
export type FileSystemName = (typeof FILE_SYSTEMS)[number];

// --- what can be had here -------------------------------------------------------------------------

/** Image sizes in MB: xfs refuses less than 300, btrfs less than 109. */
const IMAGES: Readonly<Record<Exclude<FileSystemName, 'tmpfs'>, { mb: number; mkfs: string[] }>> = {
  ext4: { mb: 64, mkfs: ['mkfs.ext4', '-q'] },
  xfs: { mb: 300, mkfs: ['mkfs.xfs', '-q'] },
  btrfs: { mb: 128, mkfs: ['mkfs.btrfs', '-q'] },
};

function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' }).status === 0;
}

function knowsFileSystem(name: string): boolean {
  const known = () => fs.readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(name);
  if (known()) return true;
  spawnSync('modprobe', [name], { stdio: 'ignore' });
  return known();
}

/** Why a scenario cannot run here, or null. */
function missing(fileSystems: readonly string[], programs: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  if (!fs.existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  const unknown = ['fuse', ...fileSystems].find((name) => !knowsFileSystem(name));
  if (unknown !== undefined) return `the kernel has no ${unknown}`;
  const mkfs = fileSystems.flatMap((name) => (isImage(name) ? (IMAGES[name].mkfs[0] ?? []) : []));
  const program = [...programs, ...mkfs].find((name) => !hasProgram(name));
  return program === undefined ? null : `the program ${program} is not installed`;
}

function isImage(name: string): name is keyof typeof IMAGES {
  return Object.hasOwn(IMAGES, name);
}

/**
 * A group of tests that needs file systems and programs. Where they cannot be had the group is
 * skipped and says so in one line; with CI=true that is a failure.
 */
export function scenario(
  name: string,
  needs: { fileSystems: readonly string[]; programs?: readonly string[] },
  define: () => void,
): void {
  const reason = missing(needs.fileSystems, needs.programs ?? []);
  if (reason === null) {
    describe(name, define);
    return;
  }
  process.stdout.write(`SKIPPED scenario ${name}: ${reason}\n`);
  if (process.env['CI'] === 'true') {
    it(name, () => {
      throw new Error(`${reason}, and CI runs every scenario.`);
    });
  } else {
    describe.skip(name, define);
  }
}

// --- the temporary folder and its janitor -------------------------------------------------------

// $1 the folder. Mounts are undone from the newest to the oldest; lazily, because a test that died
// may have left something in use. Unmounting a daemon's mount ends the daemon.
const JANITOR = `
trap '' INT HUP TERM
read -r _
tac /proc/self/mountinfo | while read -r a b c d point rest; do
  case "$point" in "$1"/*) umount -l -- "$(printf '%b' "\${point//\\\\/\\\\0}")" ;; esac
done
rm -rf --one-file-system -- "$1"
`;

interface Workshop {
  readonly folder: string;
  readonly janitor: ChildProcess;
}

let workshop: Promise<Workshop> | null = null;

/** The temporary folder of this process, made when it is first asked for. */
async function workshopFolder(): Promise<string> {
  workshop ??= openWorkshop();
  return (await workshop).folder;
}

async function openWorkshop(): Promise<Workshop> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scenario-'));
  const janitor = spawn('bash', ['-c', JANITOR, 'janitor', folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  await once(janitor, 'spawn');
  return { folder, janitor };
}

afterAll(async () => {
  if (workshop === null) return;
  const { folder, janitor } = await workshop;
  workshop = null;
  for (const daemon of running) await daemon.kill();
  const gone = once(janitor, 'exit');
  janitor.stdin?.end();
  await gone;
  const left = mountsBelow(folder);
  if (left.length > 0 || fs.existsSync(folder)) {
    throw new Error(`${folder} could not be cleaned up. ${left.join(' ')}`);
  }
});

function mountsBelow(folder: string): string[] {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4]?.startsWith(`${folder}/`));
}

/** Runs a program to its end. @throws Error with what it said when it fails */
export function run(program: string, args: readonly string[], cwd?: string): string {
  const done = spawnSync(program, args, {
    encoding: 'utf8',
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (done.status === 0) return done.stdout;
  const said = done.error?.message ?? done.stderr;
  throw new Error(`${program} ${args.join(' ')} failed: ${said}`);
}

let counter = 0;

/** A fresh file system, mounted; returns its mount point. */
export async function makeFileSystem(name: FileSystemName): Promise<string> {
  const folder = await workshopFolder();
  const point = path.join(folder, `${name}-${counter++}`);
  fs.mkdirSync(point);
  if (isImage(name)) {
    const { mb, mkfs } = IMAGES[name];
    const image = `${point}.img`;
    fs.writeFileSync(image, '');
    fs.truncateSync(image, mb * 1024 * 1024);
    const [program = '', ...args] = mkfs;
    run(program, [...args, image]);
    run('mount', ['-o', 'loop', image, point]);
  } else {
    run('mount', ['-t', name, name, point]);
  }
  return point;
}

/** A new directory on a mounted file system, to be shared. */
export function newFolder(fileSystem: string): string {
  const folder = path.join(fileSystem, `share-${counter++}`);
  fs.mkdirSync(folder);
  return folder;
}

// --- what the host itself says -------------------------------------------------------------------

/** The generation in a handle of a file system, as a decimal string; the places are those of each file system's encode_fh. */
export function generation({ handle }: HostFile, fileSystem: FileSystemName): string | null {
  if (handle === null) return null;
  const at = { ext4: 4, xfs: handle.type > 128 ? 8 : 4, btrfs: 16, tmpfs: 0 }[fileSystem];
  return String(Buffer.from(handle.bytes, 'hex').readUInt32LE(at));
}

export interface HostFile {
  readonly ids: IdsJson;
  readonly handle: HandleJson | null;
}

/** statx and name_to_handle_at of a host path, asked without the daemon. */
export function hostFile(hostPath: string): HostFile {
  const identity = native.identify(AT_FDCWD, hostPath);
  if (typeof identity === 'number') throw new Error(`statx of ${hostPath} failed: ${identity}`);
  const handle = native.nameToHandle(AT_FDCWD, hostPath);
  return {
    ids: {
      ino: String(identity.ino),
      dev: `${identity.devMajor}:${identity.devMinor}`,
      mntId: String(identity.mntId),
    },
    handle: typeof handle === 'number' ? null : handleToJson(handle),
  };
}

// --- the daemon -----------------------------------------------------------------------------------

export interface ServeOptions {
  readonly handles?: HandleMode;
  readonly cache?: 'never' | 'auto' | 'always' | 'metadata';
  readonly lookupRule?: LookupRuleName;
  readonly probe?: ProbeMode;
  /** The errno that strace makes name_to_handle_at return, and at which of a thread's calls. */
  readonly inject?: { readonly errno: string; readonly when: string };
  /** A program that starts the daemon, with its arguments. */
  readonly through?: readonly string[];
  readonly rlimitNofile?: number;
  /** A mount point to use again. */
  readonly mount?: string;
}

/**
 * The calls of name_to_handle_at that the daemon's file-system thread makes before the first
 * LOOKUP: the check that handles work, and the root's own at INIT. strace counts per thread.
 */
export const CALLS_BEFORE_LOOKUPS = 2;

let program: Promise<string> | null = null;

/** The daemon of this tree, built once a process. */
export function daemonProgram(): Promise<string> {
  program ??= buildDaemon();
  return program;
}

async function buildDaemon(): Promise<string> {
  const folder = await workshopFolder();
  // The daemon looks for its addon beside itself.
  fs.symlinkSync(path.join(root, 'prebuilds'), path.join(folder, 'prebuilds'));
  return bundleDaemon(folder);
}

const running = new Set<Daemon>();

/** Starts the daemon on a directory and follows its events from the first on. */
export async function serve(sharedDir: string, options: ServeOptions = {}): Promise<Daemon> {
  const { handles = 'mandatory', cache = 'never' } = options;
  const { lookupRule, probe, inject, rlimitNofile } = options;
  const cli = await daemonProgram();
  const mount = options.mount ?? path.join(await workshopFolder(), `mount-${counter++}`);
  if (options.mount === undefined) fs.mkdirSync(mount);
  const command = [
    ...(options.through ?? []),
    ...(inject === undefined ? [] : straceCommand(inject)),
    process.execPath,
    cli,
    'serve',
    ...['--shared-dir', sharedDir, '--mount', mount],
    ...['--inode-file-handles', handles, '--cache', cache],
    ...(lookupRule === undefined ? [] : ['--lookup-rule', lookupRule]),
    ...(probe === undefined ? [] : ['--probe', probe]),
    ...(rlimitNofile === undefined ? [] : [`--rlimit-nofile=${rlimitNofile}`]),
  ];
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
  const log: string[] = [];
  const lines = createInterface({ input: child.stderr });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.includes('Serving ')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`The daemon did not start: ${log.join('\n')}`)));
  });
  // The runtime file is there before the daemon says that it serves (docs/protocol.md).
  const file = listRuntimeFiles((sentence) => log.push(sentence)).find(
    ({ transport }) => transport === `/dev/fuse on ${mount}`,
  );
  if (file === undefined) throw new Error(`No runtime file for ${mount}: ${log.join('\n')}`);
  const connection = await connect(file, 'scenarios');
  const daemon = new Daemon(child, file.pid, mount, sharedDir, log, connection);
  running.add(daemon);
  await daemon.follow();
  return daemon;
}

function straceCommand({ errno, when }: { errno: string; when: string }): string[] {
  const call = 'name_to_handle_at';
  const inject = `inject=${call}:error=${errno}:when=${when}`;
  return [
    'strace',
    '-f',
    '-qq',
    '--seccomp-bpf',
    '-o',
    '/dev/null',
    '-e',
    `trace=${call}`,
    '-e',
    inject,
  ];
}

/** What one access through the mount did. */
export interface Looked {
  /** What the caller saw, or null. */
  readonly errno: string | null;
  readonly lookups: readonly LookupJson[];
  /** The last node id that a lookup led to. */
  readonly nodeid: string | null;
}

/** How long an event is waited for before the test fails with what came instead. */
const PATIENCE_MS = 30_000;

interface Waiter {
  readonly predicate: (event: EventJson) => boolean;
  readonly resolve: (event: EventJson) => void;
}

export class Daemon {
  /** Every event so far, in order. */
  readonly events: EventJson[] = [];
  readonly #waiters = new Set<Waiter>();
  /** Resolves when the process is gone. */
  readonly exited: Promise<unknown>;
  readonly #held = new Set<number>();
  #markers = 0;

  constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
    /** Where it is mounted. */
    readonly mount: string,
    readonly sharedDir: string,
    /** Its stderr. */
    readonly log: readonly string[],
    private readonly connection: Connection,
  ) {
    this.exited = once(child, 'exit');
  }

  async follow(): Promise<void> {
    this.connection.client.on('events', ({ events }) => {
      for (const event of events) {
        this.events.push(event);
        for (const waiter of [...this.#waiters]) {
          if (!waiter.predicate(event)) continue;
          this.#waiters.delete(waiter);
          waiter.resolve(event);
        }
      }
    });
    this.connection.client.on('gap', ({ from, to }) => {
      throw new Error(`The test lost events ${from} to ${to}.`);
    });
    await this.connection.client.call('events.follow', { from: '1' });
    await this.waitFor((event) => event.type === 'insert' && event['nodeid'] === '1');
  }

  /** Path of a name, as the programs of the guest see it. */
  guest(name: string): string {
    return path.join(this.mount, name);
  }

  /** Path of a name on the host. */
  host(name: string): string {
    return path.join(this.sharedDir, name);
  }

  /** Probes on demand; resolves with the last report of progress. */
  async probe(request: ProbeRequest): Promise<ProbeProgress> {
    const { client } = this.connection;
    const ended = new Promise<ProbeProgress>((resolve) => {
      client.on('probe', (progress) => {
        if (progress.state !== 'running') resolve(progress);
      });
    });
    await client.call('probe.start', request);
    return ended;
  }

  snapshot(): Promise<Snapshot> {
    return this.connection.client.call('snapshot', {});
  }

  /** The lanes of an inode number. */
  async lanes(ino: string): Promise<LaneJson[]> {
    const { lanes } = await this.connection.client.call('lanes.watch', {
      offset: 0,
      count: 60,
      query: `ino ${ino}`,
      classes: [],
      order: 'overlap',
      from: null,
      to: null,
    });
    return lanes;
  }

  why(about: WhySubject): Promise<WhyJson> {
    return this.connection.client.call('why', { about });
  }

  judged(implementation: ImplementationName): Promise<JudgementJson> {
    return this.connection.client.call('judge', { implementation });
  }

  /**
   * The first event, past or to come, that passes.
   *
   * @throws Error with the newest events when none comes
   */
  async waitFor(predicate: (event: EventJson) => boolean): Promise<EventJson> {
    const known = this.events.find(predicate);
    if (known !== undefined) return known;
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        this.#waiters.delete(waiter);
        const newest = this.events.slice(-30).map((event) => JSON.stringify(event));
        reject(new Error(`No such event came. The newest are:\n${newest.join('\n')}`));
      }, PATIENCE_MS);
      const waiter: Waiter = {
        predicate,
        resolve: (event) => {
          clearTimeout(patience);
          resolve(event);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /** Waits until a hazard was reported, open or closed. */
  async hazard(id: string, state: 'open' | 'closed' = 'open'): Promise<HazardJson> {
    const event = await this.waitFor((candidate) => hazardOf(candidate, id, state) !== null);
    return hazardOf(event, id, state) as HazardJson;
  }

  /** The first state of the budget that passes, from now on. */
  async budget(passes: (budget: BudgetJson) => boolean): Promise<BudgetJson> {
    const { client } = this.connection;
    const found = new Promise<BudgetJson>((resolve, reject) => {
      let newest: BudgetJson | null = null;
      const patience = setTimeout(
        () => reject(new Error(`No such budget came. The newest is ${JSON.stringify(newest)}`)),
        PATIENCE_MS,
      );
      const take = (budget: BudgetJson) => {
        newest = budget;
        if (!passes(budget)) return;
        clearTimeout(patience);
        resolve(budget);
      };
      client.on('budget', take);
      client.call('budget.watch', {}).then(take, reject);
    });
    const budget = await found;
    await client.call('budget.stop', {});
    return budget;
  }

  /** Every report of hazards so far, in order. */
  hazards(): HazardJson[] {
    return this.events.flatMap((event) => hazardOf(event) ?? []);
  }

  lookups(from = 0): LookupJson[] {
    return this.events
      .slice(from)
      .filter(isLookup)
      .filter(({ name }) => !isMarker(name));
  }

  /**
   * Waits for the events of everything that the mount was asked so far, except for FORGETs, which
   * the kernel may send later.
   */
  async settle(): Promise<void> {
    const name = `${MARKER}${this.#markers++}`;
    fs.statSync(this.guest(name), { throwIfNoEntry: false });
    await this.waitFor((event) => isLookup(event) && event.name === name);
  }

  /** Does something in the mount and collects the lookups that it caused. */
  async doing(action: () => void): Promise<Looked> {
    const from = this.events.length;
    const errno = errnoOf(action);
    await this.settle();
    const lookups = this.lookups(from);
    return { errno, lookups, nodeid: lookups.at(-1)?.nodeid ?? null };
  }

  /**
   * Makes the kernel look a path up, and nothing else. When the name's node changed meanwhile the
   * kernel asks twice: once to find out, and once more after it forgot the answer (fuse/dir.c,
   * fuse_dentry_revalidate).
   */
  lookup(name: string): Promise<Looked> {
    return this.doing(() => fs.closeSync(fs.openSync(this.guest(name), O_PATH)));
  }

  /** Makes the guest drop a name, whose node lives on if something else keeps it. */
  async unlearn(name: string): Promise<void> {
    const hidden = this.host(`${name}.hidden`);
    fs.renameSync(this.host(name), hidden);
    const { errno } = await this.lookup(name);
    if (errno !== 'ENOENT') throw new Error(`The guest still finds ${name}: ${errno}`);
    fs.renameSync(hidden, this.host(name));
  }

  /** Looks a path up and keeps the guest's inode, without opening the file. Returns a descriptor. */
  async hold(name: string): Promise<Held> {
    let fd = -1;
    const looked = await this.doing(() => (fd = fs.openSync(this.guest(name), O_PATH)));
    const nodeid = looked.nodeid ?? '0';
    this.#held.add(fd);
    return {
      nodeid,
      fd,
      path: `/proc/self/fd/${fd}`,
      release: async () => {
        this.#letGo(fd);
        await this.waitFor((event) => event.type === 'remove' && event['nodeid'] === nodeid);
      },
    };
  }

  /**
   * Drops what the kernel cached of this mount and nobody uses, as memory pressure does: a remount
   * shrinks the dentries of its super block alone (reconfigure_super in fs/super.c). FORGETs follow.
   */
  dropCaches(): void {
    const result = native.mount('', this.mount, '', MS_REMOUNT | MS_NOSUID | MS_NODEV, '');
    if (result < 0) throw new Error(`Remounting ${this.mount} failed: ${result}`);
  }

  /** The exit status, or null while it runs and when a signal ended it. */
  get exitCode(): number | null {
    return this.child.exitCode;
  }

  /** The first events as `events --json` prints them, one a line. */
  async commandLineEvents(count: number): Promise<unknown[]> {
    const follower = spawn(
      process.execPath,
      [await daemonProgram(), 'events', String(this.pid), '--json', '--from', '1'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const lines: unknown[] = [];
    for await (const line of createInterface({ input: follower.stdout })) {
      lines.push(JSON.parse(line) as unknown);
      if (lines.length === count) follower.kill();
    }
    return lines;
  }

  /** Open descriptors of the daemon's process. */
  descriptors(): number {
    return fs.readdirSync(`/proc/${this.pid}/fd`).length;
  }

  #letGo(fd: number): void {
    this.#held.delete(fd);
    fs.closeSync(fd);
  }

  /** Ends it as an administrator does. What a failed test still holds would keep the mount. */
  async stop(): Promise<void> {
    running.delete(this);
    for (const fd of this.#held) this.#letGo(fd);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    process.kill(this.pid, 'SIGTERM');
    await this.exited;
  }

  /** kill -9, if it still runs. */
  async kill(): Promise<void> {
    running.delete(this);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    process.kill(this.pid, 'SIGKILL');
    await this.exited;
  }
}

export interface Held {
  readonly nodeid: string;
  readonly fd: number;
  /** The held file, reached through the descriptor. */
  readonly path: string;
  /**
   * Lets go of a file whose name the guest has dropped; resolves when the daemon has forgotten the
   * node. (While the kernel caches the name it keeps the node: then drop the caches first.)
   */
  release(): Promise<void>;
}

const MARKER = '.settled-';

/** Whether a name was looked up only to wait for what came before (`settle`). */
export function isMarker(name: string): boolean {
  return name.startsWith(MARKER);
}

export function isLookup(event: EventJson): event is LookupJson {
  return event.type === 'lookup';
}

/** The hazard that an event reports, if it does. */
export function hazardOf(
  event: EventJson,
  id?: string,
  state?: 'open' | 'closed',
): HazardJson | null {
  if (event.type !== 'hazard' && event.type !== 'hazard_closed') return null;
  const hazard = v.parse(hazardJson, event['hazard']);
  if (id !== undefined && hazard.id !== id) return null;
  return state === undefined || hazard.state === state ? hazard : null;
}

/** The errno that something fails with, by its name; null when it does not fail. */
export function errnoOf(action: () => unknown): string | null {
  try {
    action();
    return null;
  } catch (error) {
    // Node knows no name for ESTALE ("Unknown system error -116").
    if (error instanceof Error && 'errno' in error) return errnoName(-Number(error.errno));
    throw error;
  }
}
