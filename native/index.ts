/**
 * The addon's face: Linux calls that Node lacks, the FUSE device, per-thread credentials.
 *
 * Hot calls work in one scratch memory per thread (`createScratch`). They take 32-bit integers
 * (descriptors, and byte offsets into the scratch; a parameter called `…At` is such an offset, and a
 * 64-bit offset or size is passed as the place where it stands, so that it stays exact) and return
 * a value >= 0 or -errno. They allocate nothing. All other calls take and return ordinary values;
 * those that return a number return -errno when they fail, too.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

// --- layout of the scratch: repeats native/src/layout.h; a test compares the two ---------------

/** The slot whose handle could not be opened by the call that just failed, else what was there. */
export const RESULT_FAILED_SLOT = 0;
/** The errno with which the kernel refused the last reply, or 0. */
export const RESULT_REPLY_ERRNO = 4;
/** The open descriptor that `create` made. */
export const RESULT_OPEN_FD = 8;
/** A 64-bit answer (`lseek`). */
export const RESULT_WIDE = 16;
/** Where the dirent after a batch stands (`lookupEntries`). */
export const RESULT_NEXT = 24;

/** What the guest did wrong since the last look (TROUBLE_...), or 0; the reader puts 0 back. */
export const RESULT_TROUBLE = 32;
/** In which ring. */
export const RESULT_TROUBLE_RING = 36;

/** u32 uid, gid, number of groups + 1 (0: leave them), flags, then the groups. */
export const CREDS = 256;
export const MAX_GROUPS = 60;
export const KEEP_DAC_OVERRIDE = 1;

/** Inode references: {i32 fd, i32 mountFd, u32 handleBytes, i32 handleType, 128 bytes}. */
export const SLOT_FIRST = 512;
export const SLOT_SECOND = 768;
export const SLOT_THIRD = 1024;

/** 512 bytes for a name that the caller builds itself. */
export const NAME = 1280;

/** u32: the umask for `create`, `makeNode` and `makeDirectory`. */
export const MAKING_UMASK = 1792;
/**
 * Three words: where the name of the security context's attribute stands (0: no context is set),
 * where its value stands, and how long that is.
 */
export const MAKING_CONTEXT = 1796;

/** Identity records: offsets inside one. */
export const RECORD_ERRNO = 0;
/** The O_PATH descriptor left open, or -1. */
export const RECORD_FD = 4;
/** errno of name_to_handle_at; 0 when a handle was made, -1 when none was asked for. */
export const RECORD_HANDLE_ERRNO = 8;
export const RECORD_HANDLE_MOUNT = 12;
export const RECORD_DIRENT = 16;
export const RECORD_NAME_LENGTH = 20;
/** Nanoseconds from the receipt of the request to this answer. */
export const RECORD_ELAPSED = 24;
/** struct statx, 256 bytes. */
export const RECORD_STAT = 32;
/** u32 handle_bytes, i32 handle_type, 128 bytes. */
export const RECORD_HANDLE = 288;
export const RECORD_SIZE = 448;

/** The record of a single lookup. */
export const RECORD = 2048;
/** The record of a probe. */
export const PROBE_RECORD = 2560;
/** The records of a run of directory entries. */
export const BATCH = 4096;
export const BATCH_RECORDS = 128;

/** linux_dirent64 entries. */
export const DIRENTS = 65536;
export const DIRENTS_SIZE = 65536;

export const REQUEST = 196528;
export const REQUEST_SIZE = 1114112;
export const REPLY = 1314800;
export const REPLY_SIZE = 1056768;
export const SCRATCH_SIZE = 2375680;

/** Lookup flag: make a file handle. */
export const WANT_HANDLE = 1;
/** Leave the parent that was opened by its handle in its slot; `removeName` closes it. */
export const KEEP_PARENT = 2;

/** Flag of `compare`: also whether both are one inode of the kernel. */
export const COMPARE_INODES = 1;

export const DIFFERS_INO = 1;
export const DIFFERS_DEV = 2;
export const DIFFERS_TYPE = 4;
export const DIFFERS_BTIME = 8;
export const DIFFERS_SUBVOL = 16;
export const DIFFERS_HANDLE = 32;
export const DIFFERS_INODE = 64;
export const DIFFERS_NLINK = 128;
/** It could not be told whether both are one inode. */
export const INODE_UNKNOWN = 256;

/** A chain of descriptors that no driver makes; it was given back unread. */
export const TROUBLE_CHAIN = 1;
/** A head that is no descriptor; it was passed over. */
export const TROUBLE_HEAD = 2;
/** More requests than the ring holds: it is not served any more. */
export const TROUBLE_RING = 3;
/** A reply that the chain had no room for; the guest got EIO. */
export const TROUBLE_ROOM = 4;

/** `ringNext`: a message of the front-end waits. */
export const RING_MESSAGE = -42;

/** Features of a ring. */
export const RING_EVENT_IDX = 1;
export const RING_INDIRECT = 2;

const PAGE = 4096;

/** Identity of a file as statx tells it; null where kernel or file system do not say. */
export interface FileIdentity {
  readonly ino: bigint;
  readonly devMajor: number;
  readonly devMinor: number;
  /** st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: bigint;
  readonly mntId: number;
  readonly mntIdUnique: bigint | null;
  readonly subvol: bigint | null;
  readonly btime: { readonly seconds: bigint; readonly nanoseconds: number } | null;
}

export interface NamedHandle {
  readonly mntId: number;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** A message of a vhost-user front-end. */
export interface VhostMessage {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Descriptors that came along; the receiver closes them. */
  readonly fds: readonly number[];
}

export interface Addon {
  /** The numbers of layout.h by name. */
  readonly layout: Readonly<Record<string, number>>;
  /**
   * Registers the calling thread's memory; returns where its scratch begins. `procSelfFd`: the
   * process's /proc/self/fd, where that path cannot be reached any more.
   */
  attach(memory: ArrayBuffer, procSelfFd?: number): number;

  // Hot calls: one FUSE operation each.
  lookup(parentSlot: number, nameAt: number, flags: number, record: number): number;
  probe(slot: number, flags: number, record: number): number;
  /**
   * Compares what an entry's own reference gives now with what a lookup has found: a mask of
   * DIFFERS_..., or -errno. Fills the record `held`.
   */
  compare(slot: number, asked: number, flags: number, held: number): number;
  // A lookup in its single calls, for those who want to stop in between.
  /** An O_PATH descriptor, which is the caller's from then on. */
  openName(parentSlot: number, nameAt: number, flags: number): number;
  /** statx(2). */
  examine(fd: number, record: number): number;
  /** name_to_handle_at(2): 0, or its errno, which is positive. */
  nameHandle(fd: number, record: number): number;
  /** An O_PATH descriptor of an open file. */
  reopenPath(fd: number): number;
  /** Nanoseconds since the request was received. */
  elapsed(): number;
  getattr(slot: number, record: number): number;
  /** `bodyAt`: struct fuse_setattr_in; `fh`: the open file's descriptor, or -1. */
  setattr(slot: number, fh: number, bodyAt: number, record: number): number;
  /** Writes struct fuse_kstatfs. */
  statfs(slot: number, outAt: number): number;
  readlink(slot: number, outAt: number, size: number): number;
  open(slot: number, flags: number): number;
  close(fd: number): number;
  flush(fd: number): number;
  fsync(fd: number, dataOnly: number): number;
  fallocate(fd: number, mode: number, offsetAt: number, lengthAt: number): number;
  lseek(fd: number, offsetAt: number, whence: number): number;
  copyFileRange(
    fdIn: number,
    offsetInAt: number,
    fdOut: number,
    offsetOutAt: number,
    lengthAt: number,
    flags: number,
  ): number;
  syncfs(slot: number): number;
  /** Takes the set-group-id bit off. */
  clearSgid(slot: number): number;
  /**
   * Goes without CAP_FSETID: 1 when it was given up, 0 when the thread does not have it. Then the
   * kernel clears set-user-id and set-group-id bits on a write.
   */
  giveUpFsetid(): number;
  takeBackFsetid(): number;
  readFile(fd: number, toAt: number, size: number, offsetAt: number): number;
  writeFile(fd: number, dataAt: number, size: number, offsetAt: number, append: number): number;
  /** Fills DIRENTS, from the offset at `offsetAt` (-1: go on). Returns bytes. */
  readEntries(fd: number, offsetAt: number, size: number): number;
  /** Looks up the dirents in [from, end) as far as their direntplus fit; returns records. */
  lookupEntries(fd: number, from: number, end: number, room: number, flags: number): number;
  /** As the caller in CREDS. The open descriptor is in RESULT_OPEN_FD. */
  create(
    parentSlot: number,
    nameAt: number,
    flags: number,
    mode: number,
    lookupFlags: number,
    record: number,
  ): number;
  makeNode(
    parentSlot: number,
    nameAt: number,
    mode: number,
    rdev: number,
    lookupFlags: number,
    record: number,
  ): number;
  makeDirectory(
    parentSlot: number,
    nameAt: number,
    mode: number,
    lookupFlags: number,
    record: number,
  ): number;
  makeSymlink(
    parentSlot: number,
    nameAt: number,
    targetAt: number,
    lookupFlags: number,
    record: number,
  ): number;
  makeLink(
    slot: number,
    parentSlot: number,
    nameAt: number,
    lookupFlags: number,
    record: number,
  ): number;
  /** `closeParent`: 1 when a lookup with KEEP_PARENT left the slot's descriptor there. */
  removeName(parentSlot: number, nameAt: number, flags: number, closeParent: number): number;
  renameName(fromSlot: number, fromAt: number, toSlot: number, toAt: number, flags: number): number;
  /** `regular`: 1 when the inode may be opened (regular file or directory). */
  setXattr(
    slot: number,
    regular: number,
    nameAt: number,
    valueAt: number,
    size: number,
    flags: number,
  ): number;
  getXattr(slot: number, regular: number, nameAt: number, outAt: number, size: number): number;
  listXattr(slot: number, regular: number, outAt: number, size: number): number;
  removeXattr(slot: number, regular: number, nameAt: number): number;

  // Hot calls of a /dev/fuse session.
  /**
   * Waits for a request: its length, 0 when the control descriptor was signalled, or -errno
   * (-ENODEV: unmounted; -ECANCELED: told to stop).
   */
  receive(fuseFd: number, controlFd: number): number;
  reply(fuseFd: number, at: number, length: number): number;
  /** Both in one call. */
  replyReceive(fuseFd: number, controlFd: number, at: number, length: number): number;
  /** Answers a READ without the data passing through JavaScript: 0, or -errno with nothing sent. */
  sendFile(fuseFd: number, fd: number, offsetAt: number, size: number, uniqueAt: number): number;

  // Hot calls of a vhost-user session.
  /**
   * Gives the request at hand back, with `replyLength` bytes of REPLY (0: without an answer), and
   * waits for the next: its length, 0 when the control descriptor was signalled, RING_MESSAGE,
   * -ECANCELED when told to stop, or -errno. Of a WRITE only the header is in REQUEST.
   */
  ringNext(replyLength: number): number;
  /** Only gives it back. */
  ringAnswer(replyLength: number): number;
  /** Answers the READ at hand from a file, straight into guest memory: 0, or -errno, unanswered. */
  ringSendFile(fd: number, offsetAt: number, size: number, uniqueAt: number): number;
  /** Writes the data of the WRITE at hand straight from guest memory: bytes, or -errno. */
  ringWriteFile(fd: number, size: number, offsetAt: number, append: number): number;

  // Calls of both kinds of sessions.
  /**
   * Puts the request at hand aside: all of it is in the scratch then, and others may be received.
   * Returns a number for it, or -errno.
   */
  putAside(): number;
  /** Takes it up again, once the scratch is as it was. */
  takeUp(aside: number): number;

  // A vhost-user session. One device a thread; its descriptors stay the caller's.
  /** Listens at a path made under this umask; -EADDRINUSE: something is there. `gid` -1: as it is. */
  listenAt(path: string, umask: number, gid: number): number;
  /** Listens on TCP at a literal address; port 0: a free one. */
  listenOnLoopback(
    address: string,
    port: number,
  ): { readonly descriptor: number; readonly port: number } | number;
  /** 1 for a listening stream socket of the Unix kind. */
  isListening(fd: number): number;
  /** 1 for an eventfd: nothing else can be signalled without the danger of blocking. */
  isEvent(fd: number): number;
  /** -ENOENT: there is no such group. */
  groupId(name: string): number;
  setCloseOnExec(fd: number): number;
  /** flock(2), exclusive, at once: -EWOULDBLOCK when another process has it. */
  lockFile(fd: number): number;
  /** Returns how many rings the device has. */
  openDevice(controlFd: number): number;
  /** Unmaps all memory and closes the connection. */
  closeDevice(): void;
  /** Waits for a front-end: 0; -EAGAIN when the control descriptor was signalled; -ECANCELED. */
  acceptPeer(listenFd: number): number;
  /** A number: 0 when the front-end has closed the connection; -EMSGSIZE; -ECANCELED; -errno. */
  readMessage(): VhostMessage | number;
  writeMessage(bytes: Uint8Array): number;
  /**
   * -EINVAL: empty, or overlaps another region; -ENXIO: larger than its file; -ENOSPC: too many.
   */
  addMemory(
    guestAddress: bigint,
    size: bigint,
    userAddress: bigint,
    offset: bigint,
    fd: number,
  ): number;
  /** -ENOENT when no region is that one. */
  removeMemory(guestAddress: bigint, size: bigint, userAddress: bigint): number;
  clearMemory(): void;
  /**
   * Begins to serve a ring; the addresses are the front-end's, the descriptors -1 where there is
   * none. -EFAULT: not in guest memory; -EINVAL: a size or alignment that VIRTIO forbids.
   */
  startRing(
    index: number,
    size: number,
    descriptors: bigint,
    available: bigint,
    used: bigint,
    nextAvailable: number,
    features: number,
    kickFd: number,
    callFd: number,
    errorFd: number,
  ): number;
  /** Returns the next available index. */
  stopRing(index: number): number;
  setRingSignals(index: number, callFd: number, errorFd: number): void;

  // The rest.
  /** The path of an inode as the kernel knows it. */
  pathOf(slot: number): Uint8Array | number;
  /** unshare(CLONE_FS), umask 0 and, as root, no supplementary groups, for the calling thread. */
  prepareThread(): number;
  mount(
    source: string,
    target: string | Uint8Array,
    type: string,
    flags: number,
    data: string,
  ): number;
  unmount(target: string | Uint8Array, flags: number): number;
  /** `directory`: a descriptor that relative paths begin at. */
  openPath(path: string | Uint8Array, flags: number, directory?: number): number;
  closeDescriptor(fd: number): number;
  setNonblocking(fd: number): number;
  socketPair(): [number, number] | number;
  receiveDescriptor(socket: number): number;
  createEvent(): number;
  signalEvent(fd: number): number;
  /** Makes the `receive` that waits for this event return -ECANCELED. */
  stopEvent(fd: number): number;
  /** A socket to syslog that takes one message a write, or -errno. */
  connectSyslog(): number;
  openFilesLimit(): { readonly soft: number; readonly hard: number };
  setOpenFilesLimit(soft: number, hard: number): number;
  /** An empty path means the descriptor itself. */
  identify(dirFd: number, path: string | Uint8Array): FileIdentity | number;
  nameToHandle(dirFd: number, path: string | Uint8Array): NamedHandle | number;
  openByHandle(mountFd: number, type: number, bytes: Uint8Array, flags: number): number;
  /** futimens(2), the access time left as it is. */
  setModificationTime(fd: number, seconds: bigint, nanoseconds: number): number;
  /** f_type of statfs(2). */
  fileSystemType(target: number | string | Uint8Array): number;

  // Confinement (confinement.cc, capabilities.cc, seccomp.cc).
  /** Copies this process into new namespaces; the copy waits for `releaseConfined`. */
  startConfined(plan: ConfinedProgram): { readonly pid: number; readonly socket: number } | number;
  /** Lets it execute its program: null when that runs, or what went wrong. Closes the socket. */
  releaseConfined(socket: number): ConfinementFailure | null;
  /** Executes the plan's program in this process; returns only when that fails. */
  becomeConfined(plan: ConfinedProgram): ConfinementFailure;
  /** In the program: makes the share its root. The socket is its last inherited descriptor. */
  enterSandbox(socket: number): SandboxDescriptors | ConfinementFailure;
  /** Waits for the end of a child of `startConfined`. */
  waitForChild(pid: number): { readonly code?: number; readonly signal?: number } | number;
  /** All threads keep only these, of what they have (two 32-bit halves of the mask). */
  dropCapabilities(low: number, high: number): number;
  /**
   * Puts all threads under a filter, an array of struct sock_filter; no new privileges from then on.
   * `explain`: says on stderr which call was refused, where the filter answers with SIGSYS.
   */
  loadSystemCallFilter(program: Uint8Array, explain: boolean): number;
  /** A descriptor of an unnamed file in memory that holds these bytes. */
  memoryFile(bytes: Uint8Array): number;
}

/** A program to be executed with less rights than this one has. */
export interface ConfinedProgram {
  readonly program: string;
  /** With the program's own name as the first. */
  readonly arguments: readonly string[];
  /** NAME=value. */
  readonly environment: readonly string[];
  /** At most 16, inherited as 3, 4, … in this order; nothing else is. */
  readonly descriptors: readonly number[];
  /** CLONE_NEW… of clone(2). Not looked at by `becomeConfined`. */
  readonly namespaces: number;
  /**
   * How `sharedDir` will become the root, by `enterSandbox`. `pivot` needs a mount and a process
   * namespace.
   */
  readonly root: 'unchanged' | 'chroot' | 'pivot';
  readonly sharedDir: string;
  /** Mask of the capabilities that it has, and may have at most. */
  readonly capabilities: bigint;
}

/** What went wrong between two programs. */
export interface ConfinementFailure {
  /** The step, as confinement.cc names it. */
  readonly step: string;
  readonly errno: number;
}

/** What cannot be reached by path from within a sandbox. */
export interface SandboxDescriptors {
  /** /proc/self/fd. */
  readonly procSelfFd: number;
  /** /proc/self/mountinfo. */
  readonly mountInfoFd: number;
}

/** A thread's memory for hot calls, seen as bytes and as words. */
export interface Scratch {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
}

/** Gives the calling thread its scratch. @param procSelfFd see `attach` */
export function createScratch(addon: Addon, procSelfFd?: number): Scratch {
  const memory = new ArrayBuffer(SCRATCH_SIZE + PAGE);
  const start = addon.attach(memory, procSelfFd);
  return {
    u8: new Uint8Array(memory, start, SCRATCH_SIZE),
    i32: new Int32Array(memory, start, SCRATCH_SIZE / 4),
    u32: new Uint32Array(memory, start, SCRATCH_SIZE / 4),
  };
}

/**
 * Loads the addon: from `prebuilds/` in `root`, or beside the program or any folder above it.
 *
 * @throws Error that says what is missing and what to do
 */
export function loadAddon(root: string = programFolder()): Addon {
  const name = join('prebuilds', `linux-${process.arch}`, 'virtiofsd-inspector.node');
  if (process.platform !== 'linux') {
    throw new Error(`virtiofsd Inspector's daemon needs Linux; this is ${process.platform}.`);
  }
  for (let folder = root; ; folder = dirname(folder)) {
    const file = join(folder, name);
    if (existsSync(file)) return createRequire(join(root, 'x'))(file) as Addon;
    if (folder === dirname(folder)) break;
  }
  throw new Error(
    `The native part for linux-${process.arch} is missing: no ${name} in ${root} or above. ` +
      'Run "npm run build"; packages bring it for x64 only.',
  );
}

function programFolder(): string {
  return typeof __dirname === 'string' ? __dirname : process.cwd();
}
