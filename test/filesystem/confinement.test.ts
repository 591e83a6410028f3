/** What a confined daemon has, sees and can do, as the kernel tells it; and that it serves. */

import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { keptCapabilities, mask } from '../../daemon/confinement/capabilities';
import { connect } from '../../daemon/inspector/connect';
import { runtimeFile } from '../../daemon/protocol/runtimeFile';
import * as v from 'valibot';
import { Frontend } from '../frontend/frontend';
import { native as frontendNative } from '../frontend/native';
import { makeFileSystem, newFolder, run } from '../scenarios/share';
import { daemonProgram, ext4 } from './harness';

const NOBODY = 65534;
const USUAL = keptCapabilities([], true, (1n << 64n) - 1n);

interface Options {
  readonly shared?: string;
  readonly more?: readonly string[];
  /** Serve as nobody, with this folder for runtime files. */
  readonly nobody?: string;
  /** Hand over a listening socket. */
  readonly byFd?: boolean;
  /** Programs before the daemon's. */
  readonly under?: readonly string[];
}

/** A daemon: what was started, and the process that serves, which may be the same. */
interface Daemon {
  readonly shared: string;
  readonly socket: string;
  readonly launcher: number;
  readonly served: number;
  readonly log: readonly string[];
  /** The exit status, or the signal, once nothing of it is left. */
  readonly ended: Promise<number | string | null>;
}

const running = new Set<ChildProcess>();

afterEach(async () => {
  await Promise.all(
    [...running].map(async (child) => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }),
  );
});

async function start(options: Options = {}): Promise<Daemon> {
  const { shared, more = [], nobody, byFd = false } = options;
  const share = shared ?? newFolder(await ext4());
  const socket = path.join(nobody ?? newFolder(await ext4()), 'socket');
  const listener = byFd ? frontendNative.listenUnix(socket) : null;
  const program = [
    ...[process.execPath, await daemonProgram(), '--shared-dir', share],
    ...(listener === null ? ['--socket-path', socket] : ['--fd', '3']),
    ...more,
  ];
  const under = nobody === undefined ? (options.under ?? []) : AS_NOBODY;
  const command = [...under, ...program];
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe', ...(listener === null ? [] : [listener])],
    env: { ...process.env, ...(nobody === undefined ? {} : { XDG_RUNTIME_DIR: nobody }) },
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  if (listener !== null) frontendNative.closeFd(listener);
  const log: string[] = [];
  if (child.stderr === null) throw new Error('The daemon has no stderr.');
  const lines = createInterface({ input: child.stderr });
  const closed = once(lines, 'close');
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.includes('Serving ')) resolve();
    });
    lines.once('close', () => reject(new Error(log.join('\n'))));
  });
  const launcher = child.pid ?? 0;
  const children = fs.readFileSync(`/proc/${launcher}/task/${launcher}/children`, 'utf8').trim();
  return {
    shared: share,
    socket,
    launcher,
    served: children === '' ? launcher : Number(children),
    log,
    // Both processes hold the pipe of the log.
    ended: Promise.all([once(child, 'exit'), closed]).then(
      () => child.exitCode ?? child.signalCode,
    ),
  };
}

const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** Why nobody cannot serve here, or null. */
function nobodyCannot(program: string): string | null {
  const [setpriv = '', ...options] = AS_NOBODY;
  const can = (...command: string[]) => spawnSync(setpriv, [...options, ...command]).status === 0;
  if (!can('test', '-r', program)) return 'nobody cannot read the program here';
  if (!can('unshare', '-U', 'true')) return 'this machine lets nobody make no user namespace';
  return null;
}

const foldersOfNobody: string[] = [];
afterAll(() => {
  for (const folder of foldersOfNobody) fs.rmSync(folder, { recursive: true });
});

/** Where nobody may go: other tests' folders are closed to him. */
function folderOfNobody(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nobody-'));
  foldersOfNobody.push(folder);
  fs.chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** The fields of each thread's status. */
function threads(pid: number): ReadonlyMap<string, string>[] {
  return fs.readdirSync(`/proc/${pid}/task`).map((task) => {
    const status = fs.readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    return new Map(
      status
        .split('\n')
        .map((line) => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
    );
  });
}

function capabilitiesOf(pid: number): bigint[] {
  return threads(pid).flatMap((status) =>
    ['CapEff', 'CapPrm', 'CapBnd'].map((name) => BigInt(`0x${status.get(name) ?? ''}`)),
  );
}

/** What the threads see as / and as their working directory: names in it. */
function roots(pid: number): string[][] {
  return fs
    .readdirSync(`/proc/${pid}/task`)
    .flatMap((task) =>
      ['root', 'cwd'].map((link) => fs.readdirSync(`/proc/${pid}/task/${task}/${link}/`).sort()),
    );
}

function namespaceOf(pid: number | 'self', name: string): string {
  return fs.readlinkSync(`/proc/${pid}/ns/${name}`);
}

/** Makes, writes, reads and looks up a file as a guest does. */
async function useAsGuest(
  daemon: Daemon,
  folder = '',
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const guest = await Frontend.connect(daemon.socket);
  await guest.init();
  const parent = folder === '' ? 1n : (await guest.lookup(1n, folder)).nodeid;
  const made = await guest.create(parent, 'made', fs.constants.O_RDWR, 0o644);
  const { nodeid } = made.entry;
  await guest.write(nodeid, made.open.fh, 0, Buffer.from('by a guest'));
  await guest.release(nodeid, made.open.fh);
  const found = await guest.lookup(parent, 'made');
  expect(found.nodeid).toBe(nodeid);
  const { fh } = await guest.open(found.nodeid, 0);
  expect(Buffer.from(await guest.read(found.nodeid, fh, 0, 100)).toString()).toBe('by a guest');
  await guest.release(found.nodeid, fh);
  await meanwhile();
  await guest.close();
  const host = path.join(daemon.shared, folder, 'made');
  expect(fs.readFileSync(host, 'utf8')).toBe('by a guest');
}

async function stop(daemon: Daemon): Promise<void> {
  process.kill(daemon.launcher, 'SIGTERM');
  expect(await daemon.ended).toBe(0);
  expect(fs.existsSync(daemon.socket)).toBe(false);
}

describe('--sandbox=namespace, which is the default', () => {
  it('leaves the share, and nothing else', async () => {
    const shared = newFolder(await ext4());
    fs.writeFileSync(path.join(shared, 'only this'), '');
    const { served, launcher, ended, log } = await start({ shared });
    expect(served).not.toBe(launcher);
    const seen = roots(served);
    expect(seen.length).toBeGreaterThan(8);
    for (const names of seen) expect(names).toEqual(['only this']);
    for (const name of ['mnt', 'pid', 'net']) {
      expect(namespaceOf(served, name), name).not.toBe(namespaceOf('self', name));
    }
    expect(namespaceOf(served, 'user')).toBe(namespaceOf('self', 'user'));
    // Routes and interfaces: none but a loopback that is down.
    expect(fs.readFileSync(`/proc/${served}/net/route`, 'utf8').trim().split('\n')).toHaveLength(1);
    const interfaces = fs.readFileSync(`/proc/${served}/net/dev`, 'utf8').trim().split('\n');
    expect(interfaces.slice(2).map((line) => line.trim().split(':')[0])).toEqual(['lo']);
    // No descriptor leads out: /proc/PID/fd shows names as they are from that root.
    const held = fs.readdirSync(`/proc/${served}/fd`).map((fd) => {
      return fs.readlinkSync(`/proc/${served}/fd/${fd}`).replace(/:.*/, '');
    });
    const harmless = new Set(['pipe', 'socket', 'anon_inode', '/', '/null', '/1/mountinfo']);
    expect(held.filter((name) => !harmless.has(name))).toEqual([]);
    expect(log.join('\n')).not.toMatch(/warn|error/);
    process.kill(launcher, 'SIGTERM');
    expect(await ended).toBe(0);
  });

  it('leaves few rights to each thread, none that mount or trace', async () => {
    const daemon = await start();
    for (const status of threads(daemon.served)) {
      expect(status.get('NoNewPrivs')).toBe('1');
      expect(status.get('Seccomp')).toBe('2');
      expect(status.get('Groups')).toBe('');
    }
    expect(new Set(capabilitiesOf(daemon.served))).toEqual(new Set([USUAL]));
    // The launcher's own, in each of its threads: enough to take its files away.
    for (const status of threads(daemon.launcher)) {
      expect(BigInt(`0x${status.get('CapPrm') ?? ''}`)).toBe(mask(['DAC_OVERRIDE']));
    }
    await stop(daemon);
  });

  it('gives and takes what --modcaps says', async () => {
    const more = ['--modcaps=+sys_admin:-mknod', '--inode-file-handles=never'];
    const daemon = await start({ more });
    const wanted = (USUAL | mask(['SYS_ADMIN'])) & ~mask(['MKNOD', 'DAC_READ_SEARCH']);
    expect(new Set(capabilitiesOf(daemon.served))).toEqual(new Set([wanted]));
    await stop(daemon);
  });

  it('serves a guest, mounts below the share, and observers', async () => {
    const shared = newFolder(await ext4());
    const below = path.join(shared, 'a mount');
    fs.mkdirSync(below);
    run('mount', ['--bind', newFolder(await makeFileSystem('tmpfs')), below]);
    const daemon = await start({ shared, more: ['--inode-file-handles=mandatory', '--xattr'] });
    const file = `/run/virtiofsd-inspector/${daemon.launcher}.json`;
    const found = v.parse(runtimeFile, JSON.parse(fs.readFileSync(file, 'utf8')));
    const observer = await connect({ url: found.url, token: found.token }, 'test');
    await useAsGuest(daemon, 'a mount', async () => {
      // The events are on their way.
      const snapshot = await vi.waitFor(async () => {
        const now = await observer.client.call('snapshot', {});
        expect(now.entries).toHaveLength(3);
        return now;
      }, 20_000);
      expect(snapshot.target).toMatchObject({
        pid: daemon.launcher,
        sharedDir: shared,
        inodeFileHandles: { effective: 'mandatory' },
      });
    });
    // The machine is gone: so is the daemon.
    expect(await daemon.ended).toBe(0);
    expect(await observer.ended).toBe('The daemon ended.');
    expect(fs.existsSync(file)).toBe(false);
    expect(fs.existsSync(daemon.socket)).toBe(false);
    expect(daemon.log.join('\n')).not.toMatch(/warn|error/);
  });

  it('listens for observers on a Unix socket as well', async () => {
    const socket = path.join(newFolder(await ext4()), 'inspector');
    const daemon = await start({ more: [`--inspect=unix:${socket}`] });
    expect(fs.statSync(socket).mode & 0o777).toBe(0o600);
    const file = `/run/virtiofsd-inspector/${daemon.launcher}.json`;
    const found = v.parse(runtimeFile, JSON.parse(fs.readFileSync(file, 'utf8')));
    const observer = await connect({ url: found.url, token: found.token }, 'test');
    expect((await observer.client.call('snapshot', {})).target.pid).toBe(daemon.launcher);
    process.kill(daemon.launcher, 'SIGTERM');
    expect(await observer.ended).toBe('The daemon ended.');
    expect(await daemon.ended).toBe(0);
    expect(fs.existsSync(socket)).toBe(false);
  });

  it('takes a listening socket as --fd', async () => {
    const daemon = await start({ byFd: true });
    await useAsGuest(daemon);
    expect(await daemon.ended).toBe(0);
  });

  it('can share the root of the host', async () => {
    const daemon = await start({ shared: '/', more: ['--readonly', '--inode-file-handles=never'] });
    const guest = await Frontend.connect(daemon.socket);
    await guest.init();
    expect((await guest.lookup(1n, 'etc')).attr.ino).toBe(
      fs.statSync('/etc', { bigint: true }).ino,
    );
    await guest.close();
    expect(await daemon.ended).toBe(0);
  });

  it('ends with its launcher, and says when it is killed', async () => {
    const orphaned = await start();
    process.kill(orphaned.launcher, 'SIGKILL');
    // The log's pipe closes when the child is gone, too.
    expect(await orphaned.ended).toBe('SIGKILL');

    const killed = await start();
    process.kill(killed.served, 'SIGKILL');
    expect(await killed.ended).toBe(1);
    expect(killed.log.at(-1)).toMatch(/killed by SIGKILL/);
    expect(fs.existsSync(`/run/virtiofsd-inspector/${killed.launcher}.json`)).toBe(false);
  });

  it('ends on each of the signals, also when they go to both processes', async () => {
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      const daemon = await start();
      process.kill(daemon.served, signal);
      process.kill(daemon.launcher, signal);
      expect(await daemon.ended).toBe(0);
    }
  });

  it('says why it is not possible somewhere, and what to do', async () => {
    // As containers start programs.
    const container = ['setpriv', '--bounding-set=-sys_admin'];
    await expect(start({ under: container })).rejects.toThrow(/CAP_SYS_ADMIN.*--sandbox=none/);
    const full = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"';
    const under = ['unshare', '--user', '--map-root-user', 'sh', '-c', full, 'sh'];
    await expect(start({ under })).rejects.toThrow(/max_user_namespaces.*--sandbox=none/);
  });

  it('passes on why the child cannot serve', async () => {
    const more = ['--rlimit-nofile=100'];
    await expect(start({ more })).rejects.toThrow(/RLIMIT_NOFILE is 100/);
    // Nothing was left behind by a child that had begun.
    const shared = newFolder(await makeFileSystem('tmpfs'));
    fs.rmSync(shared, { recursive: true });
    await expect(start({ shared })).rejects.toThrow(/give one that exists/);
  });
});

describe('--sandbox=chroot', () => {
  it('leaves the share, with the mounts below it', async () => {
    const shared = newFolder(await ext4());
    const below = path.join(shared, 'sub');
    fs.mkdirSync(below);
    run('mount', ['--bind', newFolder(await makeFileSystem('tmpfs')), below]);
    const more = ['--sandbox=chroot', '--inode-file-handles=mandatory'];
    const daemon = await start({ shared, more });
    for (const names of roots(daemon.served)) expect(names).toEqual(['sub']);
    expect(new Set(capabilitiesOf(daemon.served))).toEqual(new Set([USUAL]));
    for (const status of threads(daemon.served)) expect(status.get('Seccomp')).toBe('2');
    expect(namespaceOf(daemon.served, 'mnt')).toBe(namespaceOf('self', 'mnt'));
    await useAsGuest(daemon, 'sub');
    expect(await daemon.ended).toBe(0);
    expect(daemon.log.join('\n')).not.toMatch(/warn|error/);
  });

  it('tells of a refused system call', async () => {
    const daemon = await start({ more: ['--sandbox=chroot'] });
    // What the filter does to a process. The first process of a namespace takes it from no other.
    process.kill(daemon.served, 'SIGSYS');
    expect(await daemon.ended).toBe(1);
    expect(daemon.log.at(-1)).toMatch(/SIGSYS.*--seccomp=log.*--seccomp=none/);
  });
});

describe('--sandbox=none', () => {
  it('leaves root few rights in the process that was started', async () => {
    const daemon = await start({ more: ['--sandbox=none'] });
    expect(daemon.served).toBe(daemon.launcher);
    expect(new Set(capabilitiesOf(daemon.served))).toEqual(new Set([USUAL]));
    for (const status of threads(daemon.served)) {
      expect(status.get('NoNewPrivs')).toBe('1');
      expect(status.get('Seccomp')).toBe('2');
      expect(status.get('Groups')).toBe('');
    }
    await useAsGuest(daemon);
    expect(await daemon.ended).toBe(0);
    expect(fs.existsSync(daemon.socket)).toBe(false);
    expect(fs.existsSync(`${daemon.socket}.pid`)).toBe(false);
  });

  it('takes --fd, and lets the filter be left out', async () => {
    const daemon = await start({ byFd: true, more: ['--sandbox=none', '--seccomp=none'] });
    for (const status of threads(daemon.served)) expect(status.get('Seccomp')).toBe('0');
    await useAsGuest(daemon);
    expect(await daemon.ended).toBe(0);
  });
});

describe('an ordinary user', () => {
  it('serves own files from a user namespace', async (context) => {
    const reason = nobodyCannot(await daemonProgram());
    if (reason !== null) context.skip(reason);
    const shared = folderOfNobody();
    const nobody = folderOfNobody();
    const daemon = await start({ shared, nobody });
    expect(namespaceOf(daemon.served, 'user')).not.toBe(namespaceOf('self', 'user'));
    for (const map of ['uid_map', 'gid_map']) {
      const words = fs.readFileSync(`/proc/${daemon.served}/${map}`, 'utf8').trim().split(/\s+/);
      expect(words).toEqual([`${NOBODY}`, `${NOBODY}`, '1']);
    }
    expect(new Set(capabilitiesOf(daemon.served))).toEqual(new Set([USUAL]));
    for (const names of roots(daemon.served)) expect(names).toEqual([]);
    const runtime = path.join(nobody, 'virtiofsd-inspector', `${daemon.launcher}.json`);
    expect(fs.existsSync(runtime)).toBe(true);
    await useAsGuest(daemon);
    expect(await daemon.ended).toBe(0);
    expect(fs.statSync(path.join(shared, 'made')).uid).toBe(NOBODY);
    expect(fs.existsSync(runtime)).toBe(false);
  });

  it('serves without a sandbox, under the filter', async () => {
    const reason = nobodyCannot(await daemonProgram());
    if (reason?.includes('read') === true) return;
    const shared = folderOfNobody();
    const daemon = await start({
      shared,
      nobody: folderOfNobody(),
      more: ['--sandbox=none'],
    });
    for (const status of threads(daemon.served)) {
      expect(status.get('NoNewPrivs')).toBe('1');
      expect(status.get('Seccomp')).toBe('2');
    }
    await useAsGuest(daemon);
    expect(await daemon.ended).toBe(0);
  });

  it('is told what ranges of ids need', async (context) => {
    const reason = nobodyCannot(await daemonProgram());
    if (reason !== null) context.skip(reason);
    const options = { shared: folderOfNobody(), nobody: folderOfNobody() };
    const more = ['--uid-map=:0:100000:65536:', '--gid-map=:0:100000:65536:'];
    // Without the program, and where /etc/subuid has no such range.
    await expect(start({ ...options, more })).rejects.toThrow(/newuidmap|\/etc\/subuid/);
    await expect(start({ ...options, more: ['--sandbox=chroot'] })).rejects.toThrow(/needs root/);
  });
});
