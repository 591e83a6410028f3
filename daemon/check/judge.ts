/** What the facts of one mount mean: hazards of the catalogue, and in which modes they bite. Pure. */

import type { Severity } from '../hazards/hazard';
import { isFuse, isImage, isKernelsOwn, isNfs } from './fileSystems';
import type { Finding, HandleMode, HostFacts, MountFacts } from './report';
import { HANDLE_MODES, PROGRAMS } from './report';
import { grouped } from './words';

/** What a rule may look at besides its mount. */
export interface Surroundings {
  readonly host: HostFacts;
  /** All mounts, the share's own first. */
  readonly mounts: readonly MountFacts[];
}

type Rule = (mount: MountFacts, around: Surroundings) => Finding[];

const WITH_HANDLES: readonly HandleMode[] = ['prefer', 'mandatory'];

interface Given {
  readonly severity: Severity;
  readonly text: string;
  readonly advice: string;
  readonly modes?: readonly HandleMode[];
  readonly programs?: Finding['programs'];
  readonly verified?: boolean;
}

function finding(hazard: string | null, name: string, given: Given): Finding {
  return { hazard, name, modes: HANDLE_MODES, programs: PROGRAMS, verified: true, ...given };
}

/** The findings about one mount, in the order of the catalogue. */
export function judgeMount(mount: MountFacts, around: Surroundings): Finding[] {
  if (mount.reach.state !== 'reached') return unreached(mount);
  if (mount.type === 'autofs') {
    return [
      finding(null, 'AUTOMOUNT POINT', {
        severity: 'information',
        text: 'Something will be mounted here when it is walked into.',
        advice: 'Mount it, and check again.',
      }),
    ];
  }
  if (isKernelsOwn(mount.type)) {
    return [
      finding(null, "KERNEL'S OWN FILE SYSTEM", {
        severity: 'information',
        text: `A guest would see the host's ${mount.type}.`,
        advice: 'Share a directory that leaves it out, unless that is what you want.',
      }),
    ];
  }
  return RULES.flatMap((rule) => rule(mount, around));
}

/** Whether a mode leaves this mount's entries with handles instead of descriptors. */
export function holdsHandles(mount: MountFacts, mode: HandleMode): boolean {
  return mode !== 'never' && (mount.handles.state === 'yes' || mount.handles.state === 'volatile');
}

/**
 * The mode that a daemon ends up with: it tries the share's own handles once at the start, and turns
 * handles off when they cannot be had (virtiofsd's check_working_file_handles).
 */
function effectiveMode(share: MountFacts, mode: HandleMode): HandleMode {
  return mode === 'prefer' && !holdsHandles(share, 'prefer') ? 'never' : mode;
}

function unreached({ reach }: MountFacts): Finding[] {
  if (reach.state === 'covered') {
    return [
      finding('H20', 'MOUNT FD UNRESOLVABLE', {
        severity: 'information',
        text: `Mount ${reach.by} lies over this one; the guest sees that one only.`,
        advice:
          'Start the daemon after the last mount is in place: one that still knows this mount ' +
          'answers EIO for it when handles are on.',
      }),
    ];
  }
  if (reach.state === 'unreachable') {
    return [
      finding(null, 'OUT OF REACH', {
        severity: 'information',
        text: `This user cannot look at it (${reach.errno}).`,
        advice: 'Check as the user that the daemon will run as.',
      }),
    ];
  }
  return [];
}

// --- the rules, in the order of the catalogue ---------------------------------------------------

const numberReuse: Rule = ({ numbers, handles }) => {
  if (numbers.state !== 'measured' || numbers.distinctNumbers === numbers.rounds) return [];
  if (numbers.distinctHandles === null || handles.state !== 'yes') return [];
  if (numbers.distinctHandles < numbers.rounds) return [];
  const many = `${grouped(numbers.rounds)} files used ${grouped(numbers.distinctNumbers)}`;
  return [
    finding('H1', 'INODE-NUMBER REUSE', {
      severity: 'information',
      modes: WITH_HANDLES,
      text: `The number of a removed file is used again: ${many} inode ${numbers.distinctNumbers === 1 ? 'number' : 'numbers'}.`,
      advice: 'Every file had a handle of its own, so handles tell them apart. Nothing to do.',
    }),
  ];
};

const noHandles: Rule = ({ handles, role, overlay }) => {
  if (handles.state !== 'no') return [];
  const remedy =
    overlay === null
      ? 'Mind the descriptor limit.'
      : 'Mount the overlay with index=on,nfs_export=on and it has handles.';
  const name = 'HANDLE-LESS LOOKUP';
  return [
    finding('H4', name, {
      severity: 'information',
      modes: ['prefer', 'never'],
      text: `It makes no file handles (${handles.errno}): each entry here holds a descriptor.`,
      advice: remedy,
    }),
    finding('H4', name, {
      severity: 'error',
      modes: ['mandatory'],
      text:
        role === 'share'
          ? `It makes no file handles (${handles.errno}): the daemon refuses to start.`
          : `It makes no file handles (${handles.errno}): every lookup here fails with that.`,
      advice: remedy,
    }),
  ];
};

/** The modes in which entries of a mount hold descriptors. */
function descriptorModes({ state }: MountFacts['handles']): readonly HandleMode[] {
  return state === 'no' ? ['prefer', 'never'] : ['never'];
}

const unpinnedAlias: Rule = ({ type, numbers, handles }) => {
  const name = 'UNPINNED ALIAS';
  const modes = descriptorModes(handles);
  const advice =
    handles.state === 'no'
      ? 'Share what lies behind it instead.'
      : 'Do not use --inode-file-handles=never here.';
  if (numbers.state === 'measured' && numbers.reusedWhileHeld) {
    return [
      finding('H11', name, {
        severity: 'data',
        modes,
        text:
          'A number was used again while a descriptor was held on its removed file: a lookup by ids ' +
          'then finds the dead file, and the guest reads or writes that one.',
        advice,
      }),
    ];
  }
  if (type === 'btrfs') {
    return [
      finding('H11', name, {
        severity: 'data',
        modes,
        text:
          'Deleting a subvolume and making another one brings device and inode numbers back while ' +
          'descriptors are held: a lookup by ids then finds the dead file.',
        advice,
      }),
    ];
  }
  if (isNfs(type)) {
    return [
      finding('H11', name, {
        severity: 'data',
        modes,
        text: 'The server may replace a file under a number while a descriptor is held on it.',
        advice,
        verified: false,
      }),
    ];
  }
  if (isFuse(type) && numbers.state !== 'measured') {
    return [
      finding('H11', name, {
        severity: 'information',
        modes,
        text: `Whether its server gives numbers away that are in use was not tried: ${numbers.why}.`,
        advice: 'Check a writable directory of the same server.',
      }),
    ];
  }
  return [];
};

const overlayHardLinks: Rule = ({ overlay, handles, files }) => {
  if (overlay === null || overlay.index || handles.state !== 'no') return [];
  const linked = files?.hardLinked ?? 0;
  const none = linked === 0 && files?.complete === true && files.unreadableDirectories === 0;
  const found =
    linked > 0
      ? `${grouped(linked)} ${linked === 1 ? 'file has' : 'files have'} more than one name here.`
      : none
        ? 'No file here has more than one name now.'
        : 'Not all files could be looked at for a second name.';
  return [
    finding('H12', 'OVERLAY HARD-LINK ALIAS', {
      modes: ['prefer', 'never'],
      severity: none ? 'information' : 'data',
      text:
        'Without index=on the names of a hard-linked file of a lower layer have one inode number ' +
        `but are two files: what the guest writes to one may land in the other. ${found}`,
      advice: 'Mount the overlay with index=on,nfs_export=on, or share something else.',
    }),
  ];
};

const volatileHandles: Rule = ({ type, handles, numbers }) => {
  if (handles.state !== 'volatile') return [];
  return [
    finding('H14', 'VOLATILE HANDLE', {
      severity: 'error',
      modes: WITH_HANDLES,
      text:
        `It is ${type}: unless its server exports handles, they die when the host's kernel drops ` +
        'the inode, and the guest gets ESTALE for files that nobody touched.',
      advice:
        numbers.state === 'measured' && numbers.reusedWhileHeld
          ? 'Share what lies behind it instead: descriptors are no way out here.'
          : 'Use --inode-file-handles=never.',
    }),
  ];
};

const zeroGeneration: Rule = ({ type, zeroGeneration: zero, handles }) => {
  if (zero !== true || handles.state !== 'yes') return [];
  const built = isImage(type)
    ? `Handles of ${type} carry no generation: rebuilt, an image has the same ones.`
    : 'Handles of files that were there when the image was built carry generation 0.';
  return [
    finding('H15', 'ZERO-GENERATION HANDLE', {
      severity: 'information',
      modes: WITH_HANDLES,
      text: built,
      advice:
        'The mount is pinned while the daemon has entries on it. Restart the daemon when the image ' +
        'was replaced, and do not migrate a guest across that.',
    }),
  ];
};

const mountIdAlias: Rule = ({ identity, device, mntId }, { mounts }) => {
  if (identity === null || identity.mountId) return [];
  const twins = mounts.some((other) => other.device === device && other.mntId !== mntId);
  return [
    finding('H17', 'MOUNT-ID ALIAS', {
      severity: twins ? 'data' : 'information',
      text: twins
        ? 'This kernel tells no mount ids: two mounts of one file system cannot be told apart.'
        : 'This kernel tells no mount ids. There is no second mount of this file system here.',
      advice: 'Use Linux 5.8 or later.',
      verified: false,
    }),
  ];
};

const twins: Rule = ({ device, mntId }, { mounts }) => {
  const others = mounts.filter(
    (other) => other.device === device && other.mntId !== mntId && other.reach.state === 'reached',
  );
  if (others.length === 0) return [];
  return [
    finding('H18', 'BIND-MOUNT TWINS', {
      severity: 'information',
      text: `The same file system is mounted on ${others.map(({ path }) => path).join(', ')}, too.`,
      advice:
        'A file that both show has two node ids, and two caches in the guest. That is meant so.',
    }),
  ];
};

const pinnedMount: Rule = ({ role }) =>
  role === 'share'
    ? []
    : [
        finding('H19', 'PINNED MOUNT', {
          severity: 'information',
          text: 'The host cannot unmount it (EBUSY) while the guest remembers files on it.',
          advice: 'Let the guest drop its caches before you unmount it.',
        }),
      ];

const unresolvableMount: Rule = ({ role, escapes, mountPointEscaped, root, handles }) => {
  const name = 'MOUNT FD UNRESOLVABLE';
  const out: Finding[] = [];
  if (escapes.below) {
    out.push(
      finding('H20', name, {
        severity: 'error',
        modes: WITH_HANDLES,
        programs: ['virtiofsd'],
        text:
          `The kernel writes its path as ${mountPointEscaped}. virtiofsd does not decode that: with ` +
          'handles, every lookup on this mount fails with ENOENT.',
        advice:
          'Rename the mount point, or give virtiofsd --inode-file-handles=never. The daemon of ' +
          'virtiofsd Inspector decodes it.',
      }),
    );
  } else if (escapes.anywhere && role === 'share') {
    out.push(
      finding('H20', name, {
        severity: 'information',
        modes: WITH_HANDLES,
        programs: ['virtiofsd'],
        text:
          `The kernel writes its mount point as ${mountPointEscaped}, which virtiofsd does not ` +
          'decode. It starts with --sandbox=namespace; with --sandbox=none it does not.',
        advice: 'Keep --sandbox=namespace, or rename the mount point.',
      }),
    );
  }
  if (root === 'special' && handles.state !== 'no') {
    out.push(
      finding('H20', name, {
        severity: 'error',
        modes: WITH_HANDLES,
        text: 'Its root is neither a directory nor a regular file: looking it up fails with EIO.',
        advice: 'Unmount it, or use --inode-file-handles=never.',
      }),
    );
  }
  if (handles.state === 'mount_not_openable') {
    out.push(
      finding('H20', name, {
        severity: 'error',
        modes: WITH_HANDLES,
        text: `Handles need the mount to be opened for reading, which fails with ${handles.errno}.`,
        advice: 'Run the daemon as a user who may, or use --inode-file-handles=never.',
      }),
    );
  }
  return out;
};

const handleNotOpenable: Rule = ({ handles, role }, { host }) => {
  if (handles.state !== 'not_openable') return [];
  const cause = notOpenableCause(handles.errno, host);
  const name = 'HANDLE NOT OPENABLE';
  if (role === 'below') {
    return [
      finding('H21', name, {
        severity: 'error',
        modes: WITH_HANDLES,
        text: `Handles are made but cannot be opened (${handles.errno}). ${cause}`,
        advice: 'Use --inode-file-handles=never, or share it by a daemon of its own.',
      }),
    ];
  }
  return [
    finding('H21', name, {
      severity: 'information',
      modes: ['prefer'],
      text: `Handles are made but cannot be opened (${handles.errno}): prefer becomes never.`,
      advice: cause,
    }),
    finding('H21', name, {
      severity: 'error',
      modes: ['mandatory'],
      text: `Handles are made but cannot be opened (${handles.errno}): the daemon does not start.`,
      advice: cause,
    }),
  ];
};

function notOpenableCause(errno: string, host: HostFacts): string {
  if (errno !== 'EPERM') return 'The file system does not export them.';
  return host.missingCapabilities.includes('CAP_DAC_READ_SEARCH')
    ? 'Opening them takes CAP_DAC_READ_SEARCH, as root has it.'
    : 'Opening them takes CAP_DAC_READ_SEARCH in the initial user namespace, not in another one.';
}

const sillyRename: Rule = ({ type, handles }) =>
  isNfs(type)
    ? [
        finding('H26', 'NFS SILLY RENAME', {
          severity: 'error',
          modes: descriptorModes(handles),
          text:
            'A file that is removed while a descriptor is held on it stays as .nfsXXXX, and its ' +
            'directory cannot be removed.',
          advice: 'Use --inode-file-handles=prefer, so that entries hold no descriptors.',
          verified: false,
        }),
      ]
    : [];

const RULES: readonly Rule[] = [
  numberReuse,
  noHandles,
  unpinnedAlias,
  overlayHardLinks,
  volatileHandles,
  zeroGeneration,
  mountIdAlias,
  twins,
  pinnedMount,
  unresolvableMount,
  handleNotOpenable,
  sillyRename,
];

// --- the share as a whole -----------------------------------------------------------------------

/** Kept by the daemon for itself (virtiofsd: 609, and one per thread). */
const RESERVED = 610;
const NEARLY = 0.8;

/** How many descriptors a mode needs when the guest remembers everything that was counted. */
export function descriptorsNeeded(
  { mounts }: Surroundings,
  mode: HandleMode,
): { readonly count: number; readonly complete: boolean } {
  // Mandatory makes no entry without a handle: it fails instead.
  if (mode === 'mandatory') return { count: 0, complete: true };
  const held = mounts.filter(
    (mount) =>
      mount.files !== null && !holdsHandles(mount, effectiveMode(mounts[0] ?? mount, mode)),
  );
  return {
    count: held.reduce((sum, { files }) => sum + (files?.counted ?? 0), 0),
    complete: held.every(
      ({ files }) => files?.complete !== false && files?.unreadableDirectories === 0,
    ),
  };
}

/** Findings that belong to no single mount. */
export function judgeShare(around: Surroundings): Finding[] {
  return [...recycledMountIds(around), ...tooFewDescriptors(around), ...missingRights(around)];
}

function recycledMountIds({ mounts, host }: Surroundings): Finding[] {
  if (mounts[0]?.identity?.uniqueMountId !== false) return [];
  return [
    finding('H16', 'DEVICE / MOUNT-ID RECYCLED', {
      severity: 'information',
      text: `Linux ${host.kernel} tells no mount ids that are never used again; 6.8 and later do.`,
      advice: 'After a remount, old recordings and new ones may name different files alike.',
    }),
  ];
}

function tooFewDescriptors(around: Surroundings): Finding[] {
  const { daemonGets, hard, most, mayRaise } = around.host.descriptors;
  const forGuest = Math.max(0, daemonGets - RESERVED);
  return HANDLE_MODES.flatMap((mode) => {
    const { count, complete } = descriptorsNeeded(around, mode);
    if (count <= NEARLY * forGuest) return [];
    const atLeast = complete ? '' : 'at least ';
    const room = limitFor(count);
    return [
      finding('H23', 'FD EXHAUSTION', {
        severity: count > forGuest ? 'error' : 'resource',
        modes: [mode],
        text:
          `A guest that remembers everything takes ${atLeast}${grouped(count)} descriptors; the ` +
          `daemon has ${grouped(forGuest)} for it.`,
        advice:
          `Start it with --rlimit-nofile=${room}` +
          (room > most ? ', for which fs.nr_open must be raised' : '') +
          (room > hard && !mayRaise
            ? ', for which the hard limit (ulimit -Hn) must be raised'
            : '') +
          '; or let entries hold handles.',
      }),
    ];
  });
}

/** What a guest's own users need, and which of their calls fail without. */
const USED_FOR: Readonly<Record<string, string>> = {
  CAP_CHOWN: 'chown',
  CAP_DAC_OVERRIDE: 'access to files of other users',
  CAP_FOWNER: 'chmod and utimes on files of other users',
  CAP_FSETID: 'set-group-id bits',
  CAP_MKNOD: 'mknod',
  CAP_SETFCAP: 'file capabilities',
  CAP_SETGID: 'files of other groups',
  CAP_SETUID: 'files of other users',
};

function missingRights({ host }: Surroundings): Finding[] {
  const used = Object.entries(USED_FOR).filter(([name]) => host.missingCapabilities.includes(name));
  if (used.length === 0) return [];
  if (host.uid !== 0) {
    return [
      finding(null, 'ORDINARY USER', {
        severity: 'information',
        text: 'A daemon of this user makes files as this user only, and opens no handles.',
        advice: 'Check and serve as root if the guest has users of its own.',
      }),
    ];
  }
  return [
    finding(null, 'MISSING CAPABILITIES', {
      severity: 'error',
      text: `EPERM for the guest: ${used.map(([name, use]) => `${use} (${name})`).join(', ')}.`,
      advice: 'Give the process these capabilities, or expect that.',
    }),
  ];
}

/** A limit with room to grow: the next power of two of one and a half times what is there. */
export function limitFor(count: number): number {
  return 2 ** Math.ceil(Math.log2(count * 1.5 + RESERVED));
}
