import type { Addon, Scratch } from '../../native/index';
import type { DataChannel } from '../fuse/dataChannel';
import type { Gate } from '../tables/gate';
import type { InodeTables } from '../tables/inodeTables';
import type { LookupTrace, Recorder } from '../tables/recorder';
import type { Nodeid } from '../tables/identity';
import type { CachePolicy } from './cachePolicy';
import type { HostView } from './hostView';
import type { MountFds } from './mountFds';
import type { OpenFiles } from './openFiles';
import type { HandleMode, Log, PassthroughOptions } from './options';

/** What every operation works with: the file system's parts, and the request at hand. */
export interface Context {
  readonly native: Addon;
  readonly memory: Scratch;
  readonly tables: InodeTables;
  readonly recorder: Recorder;
  readonly gate: Gate;
  readonly log: Log;
  readonly options: PassthroughOptions;
  readonly view: HostView;
  readonly cache: CachePolicy;
  readonly mountFds: MountFds;
  readonly openFiles: OpenFiles;
  /** The one lookup record, filled over and over. */
  readonly trace: LookupTrace;
  /** --inode-file-handles after the check at start. */
  readonly handles: HandleMode;
  /** WANT_HANDLE or 0, for native lookups. */
  readonly lookupFlags: number;
  /** The host calls security.capability otherwise: its name stands at CAPABILITY_NAME. */
  readonly capabilityRenamed: boolean;
  /** How many descriptors the guest may make the daemon hold. */
  readonly fdLimit: number;
  /** Overlayfs mounts: hard links below them may be told apart by nothing that statx says. */
  readonly overlays: Set<number>;
  /** Mounts on which a missing handle was already told, and mounts already reported. */
  readonly toldHandleless: Set<number>;
  readonly knownVolumes: Set<number>;
  /** Whether it was told that the guest holds all descriptors that it may. */
  toldFull: boolean;
  /** How often the guest got ENFILE for that. */
  refusals: number;

  // The session.
  initialized: boolean;
  submounts: boolean;
  suppGroups: boolean;
  securityContexts: boolean;
  posixAcl: boolean;
  writeback: boolean;

  // The request at hand.
  channel: DataChannel;
  unique: number;
  nodeid: Nodeid;
  /** Where the body stands and where the request ends, in the scratch. */
  bodyAt: number;
  end: number;
  /** Bytes of the reply that already stand there. */
  pending: number;
}

/**
 * An operation: reads the request, writes the reply's body behind the header.
 *
 * @returns bytes of the body; NO_REPLY; or -errno
 */
export type Operation = (context: Context) => number;

/** The operation is not answered, or the data channel has answered already. */
export const NO_REPLY = 0x7fffffff;
