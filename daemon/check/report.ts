/**
 * What `check DIR --json` prints (docs/check.md): what was found, and what it means. Plain values
 * only; 64-bit numbers are decimal strings, unknown is null.
 */

import type { Severity } from '../hazards/hazard';

/** Raised when a field changes its meaning or goes; new fields do not raise it. */
export const CHECK_FORMAT = 1;

export const HANDLE_MODES = ['prefer', 'mandatory', 'never'] as const;
export type HandleMode = (typeof HANDLE_MODES)[number];

export const PROGRAMS = ['virtiofsd', 'virtiofsd-inspector'] as const;
/** `virtiofsd`: the Rust one, 1.13; `virtiofsd-inspector`: the daemon that comes with this. */
export type Program = (typeof PROGRAMS)[number];

export type Handles =
  | { readonly state: 'yes'; readonly type: number; readonly bytes: number }
  /** They open now, but need not after the kernel has dropped the inode: FUSE without export. */
  | { readonly state: 'volatile'; readonly type: number; readonly bytes: number }
  | { readonly state: 'no'; readonly errno: string }
  | {
      readonly state: 'not_openable';
      readonly type: number;
      readonly bytes: number;
      readonly errno: string;
    }
  /** The mount itself cannot be opened for reading, which every handle on it needs. */
  | { readonly state: 'mount_not_openable'; readonly errno: string }
  | { readonly state: 'not_tried'; readonly why: string };

/** What became of inode numbers when files were made and removed. */
export type Numbers =
  | {
      readonly state: 'measured';
      /** Where: another mount of the same file system may have been tried before. */
      readonly in: string;
      /** Files made and removed one after the other. */
      readonly rounds: number;
      readonly distinctNumbers: number;
      /** null where no handles are made. */
      readonly distinctHandles: number | null;
      /** Files made and removed while a descriptor was held on a removed one. */
      readonly roundsWhileHeld: number;
      /** One of those had the held file's number. */
      readonly reusedWhileHeld: boolean;
      /** The directory has the time of change that it had before, to the nanosecond. */
      readonly timeRestored: boolean;
    }
  | { readonly state: 'not_tried'; readonly why: string };

/** How many files there are, as far as the time allowed. */
export interface FileCount {
  readonly counted: number;
  /** false: at least so many. */
  readonly complete: boolean;
  readonly unreadableDirectories: number;
  /** Inodes in use on the whole file system, which may hold more than the directory. */
  readonly inodesInUse: string | null;
  /** Regular files with more than one name, where that matters (overlay); else null. */
  readonly hardLinked: number | null;
}

export interface Finding {
  /** Of the catalogue, `H11`; null where it has no number there. */
  readonly hazard: string | null;
  readonly name: string;
  readonly severity: Severity;
  /** The modes in which it can happen. */
  readonly modes: readonly HandleMode[];
  readonly programs: readonly Program[];
  readonly text: string;
  readonly advice: string;
  /** false: known from sources or reports; never reproduced by this project's tests. */
  readonly verified: boolean;
}

export type Level = 'good' | 'care' | 'bad';

export interface Verdict {
  /** `good`, `care` (errors or flips are possible), `bad` (wrong data is possible). */
  readonly level: Level;
  readonly text: string;
}

export type Reach =
  | { readonly state: 'reached' }
  /** Another mount lies over it. */
  | { readonly state: 'covered'; readonly by: string }
  | { readonly state: 'unreachable'; readonly errno: string };

/** What was found on one mount. */
export interface MountFacts {
  /** The directory itself, or the mount point; bytes that are no UTF-8, and controls, as `\xNN`. */
  readonly path: string;
  readonly role: 'share' | 'below';
  readonly mountPoint: string;
  /** As in /proc/self/mountinfo, octal escapes and all. */
  readonly mountPointEscaped: string;
  /** Octal escapes in the part of the mount point below the directory, and in all of it. */
  readonly escapes: { readonly below: boolean; readonly anywhere: boolean };
  readonly mntId: string;
  readonly mntIdUnique: string | null;
  readonly device: string;
  readonly type: string;
  readonly source: string;
  readonly readOnly: boolean;
  /** Options of the file system, for overlays: which of these two are on. */
  readonly overlay: { readonly index: boolean; readonly nfsExport: boolean } | null;
  readonly root: 'directory' | 'file' | 'special' | 'unknown';
  readonly reach: Reach;
  readonly handles: Handles;
  /** The handle of a file (not the root) carries generation 0; null: unknown. */
  readonly zeroGeneration: boolean | null;
  /** What statx tells: null where the mount was not reached. */
  readonly identity: {
    readonly mountId: boolean;
    readonly btime: boolean;
    readonly subvolume: boolean;
    readonly uniqueMountId: boolean;
  } | null;
  readonly numbers: Numbers;
  readonly files: FileCount | null;
}

export interface CheckedMount extends MountFacts {
  readonly findings: readonly Finding[];
  readonly verdict: Verdict;
}

export interface HostFacts {
  /** `uname -r` */
  readonly kernel: string;
  readonly uid: number;
  /** Rights over files of the host need their capability in this one. */
  readonly initialUserNamespace: boolean;
  /** Those that a daemon run by this process would lack. */
  readonly missingCapabilities: readonly string[];
  /** Whether an ordinary user can be given namespaces of their own, which --sandbox=namespace needs. */
  readonly userNamespaces: { readonly possible: boolean | null; readonly why: string };
  readonly descriptors: {
    readonly soft: number;
    readonly hard: number;
    /** CAP_SYS_RESOURCE: the hard limit is none. */
    readonly mayRaise: boolean;
    /** fs.nr_open, the highest limit that there can be. */
    readonly most: number;
    /** What a daemon started by this user with default options ends up with. */
    readonly daemonGets: number;
  };
}

export interface Recommendation {
  readonly programs: readonly Program[];
  readonly option: string;
  readonly reason: string;
  readonly hazards: readonly string[];
}

export interface CheckReport {
  readonly check: typeof CHECK_FORMAT;
  readonly version: string;
  readonly time: string;
  readonly directory: string;
  readonly host: HostFacts;
  readonly verdict: Verdict;
  readonly recommended: readonly Recommendation[];
  /** The words of a command line, each as a shell takes it. */
  readonly commands: Readonly<Record<Program, readonly string[]>>;
  /** Findings about the share as a whole. */
  readonly findings: readonly Finding[];
  readonly mounts: readonly CheckedMount[];
  /** What this check could not know here. */
  readonly notVerified: readonly string[];
}
