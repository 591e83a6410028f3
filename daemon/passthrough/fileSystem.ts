/**
 * A host directory as a FUSE file system, with virtiofsd's semantics. In the worker thread:
 *
 *     const native = loadAddon();
 *     const tables = new InodeTables(options.lookupRule);
 *     const fileSystem = createFileSystem(options, native, tables, recorder, log);
 *     serve(native, mount.fuseFd, mount.controlFd, fileSystem, say); // daemon/transport; blocks
 *     fileSystem.close();
 *
 * Everything is synchronous. The thread must be the file system's own: it gets its own umask and
 * working directory, and the calls that make objects change its credentials for a moment.
 */

import { constants } from 'node:fs';
import { REPLY, REQUEST, WANT_HANDLE, createScratch } from '../../native/index';
import type { Addon } from '../../native/index';
import type { DataChannel, RequestHandler } from '../fuse/dataChannel';
import { MAX_WRITE } from '../fuse/init';
import { BODY_SIZE, Opcode } from '../fuse/opcodes';
import {
  IN_HEADER,
  IN_NODEID,
  IN_OPCODE,
  IN_UNIQUE,
  OUT_HEADER,
  readU64,
  writeOutHeader,
} from '../fuse/wire';
import type { Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { Gate, OpenFilesPage } from '../tables/gate';
import { NO_GATE } from '../tables/gate';
import type { InodeTables } from '../tables/inodeTables';
import { LookupTrace } from '../tables/recorder';
import type { Recorder } from '../tables/recorder';
import { CACHE_POLICIES } from './cachePolicy';
import type { Context } from './context';
import { NO_REPLY } from './context';
import { raiseDescriptorLimit } from './descriptorLimit';
import { EINVAL, EIO, ENOMEM, ENOSYS } from './errno';
import { placeCapabilityName } from './fileCapabilities';
import { usedFds } from './lookup';
import type { HostView } from './hostView';
import { unconfinedView } from './hostView';
import { MountFds } from './mountFds';
import { OpenFiles } from './openFiles';
import { OPERATION_OF, isSilent } from './operations';
import type { HandleMode, Log, PassthroughOptions } from './options';
import { requestSource } from './requestSource';
import { endSession, init } from './session';
import { workingHandleMode } from './workingHandles';

const O_PATH = 0x200000;
const LONGEST_REQUEST = MAX_WRITE + 4096;

export interface FileSystem extends RequestHandler {
  /** --inode-file-handles as it really is, after the check at start. */
  readonly effectiveHandles: HandleMode;
  /** Descriptors that the guest may make the daemon hold, and holds now. */
  readonly fdLimit: number;
  fdsUsed(): number;
  /** What the guest has open, `count` from the `from`th on, in the order of opening. */
  openFiles(from: number, count: number): OpenFilesPage;
  /** Ends the session and closes everything. */
  close(): void;
}

const NO_CHANNEL: DataChannel = {
  sendFile: () => -EIO,
  writeFile: () => -EIO,
  serveOthers: () => undefined,
};

/**
 * @param tables empty; filled and emptied by requests
 * @param view where the shared directory and /proc are for this process
 * @param gate where a debugger holds requests
 * @throws Error with a sentence for the user when the directory cannot be served as asked
 */
export function createFileSystem(
  options: PassthroughOptions,
  native: Addon,
  tables: InodeTables,
  recorder: Recorder,
  log: Log,
  view: HostView = unconfinedView(options.sharedDir),
  gate: Gate = NO_GATE,
): FileSystem {
  const prepared = native.prepareThread();
  if (prepared < 0) {
    throw new Error(`The file system's thread cannot be set up (errno ${-prepared}).`);
  }
  const memory = createScratch(native, view.proc?.procSelfFd);
  const rootFd = native.openPath(view.root, O_PATH | constants.O_DIRECTORY);
  if (rootFd < 0) {
    throw new Error(
      `The shared directory ${options.sharedDir} cannot be opened (errno ${-rootFd}).`,
    );
  }
  const mountFds = new MountFds(native, log, view);
  const wanted = options.inodeFileHandles;
  const handles = workingHandleMode(native, mountFds, rootFd, options.sharedDir, wanted, log);

  const trace = new LookupTrace();
  trace.nameBuffer = memory.u8;
  const context: Context = {
    native,
    memory,
    tables,
    recorder,
    gate,
    log,
    options,
    view,
    cache: CACHE_POLICIES[options.cache],
    mountFds,
    openFiles: new OpenFiles(native),
    trace,
    handles,
    lookupFlags: handles === 'never' ? 0 : WANT_HANDLE,
    capabilityRenamed: placeCapabilityName(options, memory),
    fdLimit: raiseDescriptorLimit(native, options.rlimitNofile, handles, log),
    toldHandleless: new Set(),
    knownVolumes: new Set(),
    toldFull: false,
    initialized: false,
    submounts: false,
    suppGroups: false,
    securityContexts: false,
    posixAcl: false,
    writeback: false,
    channel: NO_CHANNEL,
    unique: 0,
    nodeid: NO_NODEID,
    bodyAt: REQUEST + IN_HEADER,
    end: REQUEST,
    pending: 0,
  };
  gate.attach(requestSource(context, rootFd));

  return {
    memory,
    effectiveHandles: handles,
    fdLimit: context.fdLimit,
    standsAlone() {
      const opcode = memory.u32[(REQUEST + IN_OPCODE) >> 2] ?? 0;
      return opcode === Opcode.INIT || opcode === Opcode.DESTROY;
    },
    letGo: () => gate.letGo(),
    reset: () => endSession(context),
    fdsUsed: () => usedFds(context),
    openFiles: (from, count) => context.openFiles.page(from, count),
    handle: (length, channel) => handle(context, rootFd, length, channel),
    close() {
      endSession(context);
      native.closeDescriptor(rootFd);
    },
  };
}

function handle(context: Context, rootFd: number, length: number, channel: DataChannel): number {
  const { gate, memory } = context;
  if (length < IN_HEADER) {
    context.log('warn', `A request of ${length} bytes is too short for its header: dropped.`);
    return 0;
  }
  const opcode = memory.u32[(REQUEST + IN_OPCODE) >> 2] ?? 0;
  context.channel = channel;
  context.unique = readU64(memory, REQUEST + IN_UNIQUE);
  context.nodeid = readU64(memory, REQUEST + IN_NODEID) as Nodeid;
  context.pending = 0;
  let result = malformed(context, opcode, length);
  if (result === 0) {
    const watched = gate.armed;
    try {
      if (watched) gate.request(opcode, context.unique, context.nodeid);
      result =
        opcode === Opcode.INIT ? init(context, rootFd) : (OPERATION_OF[opcode]?.(context) ?? 0);
      if (watched && result !== NO_REPLY && !isSilent(opcode)) {
        context.pending = OUT_HEADER + Math.max(result, 0);
        gate.reply(result < 0 ? -result : 0);
      }
    } catch (error) {
      // A mistake of ours must not take the guest's other files down with it.
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      context.log('error', `Request ${context.unique} (opcode ${opcode}) failed inside: ${what}`);
      result = -EIO;
    }
    if (watched) gate.end();
  }
  if (result === NO_REPLY || isSilent(opcode)) return 0;
  if (result < 0) {
    writeOutHeader(memory, REPLY, OUT_HEADER, -result, REQUEST);
    return OUT_HEADER;
  }
  writeOutHeader(memory, REPLY, OUT_HEADER + result, 0, REQUEST);
  return OUT_HEADER + result;
}

/** What is wrong with a request before it is looked into: 0, or -errno. Sets where it ends. */
function malformed(context: Context, opcode: number, length: number): number {
  const declared = context.memory.u32[REQUEST >> 2] ?? 0;
  if (declared > LONGEST_REQUEST) return -ENOMEM;
  if (declared > length || declared < IN_HEADER) return -EINVAL;
  if (opcode !== Opcode.INIT && OPERATION_OF[opcode] === undefined) return -ENOSYS;
  if (declared - IN_HEADER < (BODY_SIZE[opcode] ?? 0)) return -EINVAL;
  if (!context.initialized && opcode !== Opcode.INIT) return -EIO;
  context.end = REQUEST + declared;
  return 0;
}
