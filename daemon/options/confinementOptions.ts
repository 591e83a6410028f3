/** --sandbox, --seccomp, --modcaps, --uid-map, --gid-map: how the daemon is shut in. */

export const SANDBOX_MODES = ['namespace', 'chroot', 'none'] as const;
export type SandboxMode = (typeof SANDBOX_MODES)[number];

export const SECCOMP_ACTIONS = ['none', 'kill', 'log', 'trap'] as const;
export type SeccompAction = (typeof SECCOMP_ACTIONS)[number];

/** A capability's name as capabilities(7) has it, without CAP_. */
export type Capability = keyof typeof CAPABILITY_NUMBERS;

/** One part of --modcaps. Of several for one capability the last counts. */
export interface CapabilityChange {
  readonly capability: Capability;
  readonly keep: boolean;
}

/** A range of ids of the user namespace. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface Confinement {
  readonly sandbox: SandboxMode;
  readonly seccomp: SeccompAction;
  readonly modcaps: readonly CapabilityChange[];
  /** Empty: the daemon's own id is itself, and the only one. */
  readonly uidMap: readonly IdRange[];
  readonly gidMap: readonly IdRange[];
}

/** Bits in the capability sets (linux/capability.h). */
export const CAPABILITY_NUMBERS = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  LINUX_IMMUTABLE: 9,
  NET_BIND_SERVICE: 10,
  NET_BROADCAST: 11,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  IPC_OWNER: 15,
  SYS_MODULE: 16,
  SYS_RAWIO: 17,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_PACCT: 20,
  SYS_ADMIN: 21,
  SYS_BOOT: 22,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  SYS_TIME: 25,
  SYS_TTY_CONFIG: 26,
  MKNOD: 27,
  LEASE: 28,
  AUDIT_WRITE: 29,
  AUDIT_CONTROL: 30,
  SETFCAP: 31,
  MAC_OVERRIDE: 32,
  MAC_ADMIN: 33,
  SYSLOG: 34,
  WAKE_ALARM: 35,
  BLOCK_SUSPEND: 36,
  AUDIT_READ: 37,
  PERFMON: 38,
  BPF: 39,
  CHECKPOINT_RESTORE: 40,
} as const;

/**
 * `+sys_admin:-chown`.
 *
 * @throws Error with what is wrong
 */
export function parseModcaps(text: string): CapabilityChange[] {
  return text.split(':').map((part) => {
    const sign = part.slice(0, 1);
    const capability = part.slice(1).toUpperCase();
    if (sign !== '+' && sign !== '-') {
      throw new Error(`"${part}" begins with neither + nor -: write +sys_admin:-chown.`);
    }
    if (!isCapability(capability)) throw new Error(`"${part.slice(1)}" is no capability.`);
    return { capability, keep: sign === '+' };
  });
}

function isCapability(name: string): name is Capability {
  return Object.hasOwn(CAPABILITY_NUMBERS, name);
}

/**
 * `:inside:outside:count:`, with any character that is no letter or digit instead of the colon.
 *
 * @throws Error with what is wrong
 */
export function parseIdRange(text: string): IdRange {
  const separator = text.slice(-1);
  if (separator === '' || /[\p{L}\p{N}]/u.test(separator) || !text.startsWith(separator)) {
    throw new Error(`"${text}" is not of the form :inside:outside:count:.`);
  }
  const numbers = text.slice(1, -1).split(separator).map(parseId);
  const [inside, outside, count] = numbers;
  if (inside === undefined || outside === undefined || count === undefined || numbers.length > 3) {
    throw new Error(`"${text}" is not of the form :inside:outside:count:.`);
  }
  return { inside, outside, count };
}

/** @throws Error when the text is no 32-bit number */
export function parseId(text: string): number {
  const value = Number(text);
  if (!/^\+?[0-9]+$/.test(text) || value > 0xffffffff) {
    throw new Error(`"${text}" is not a number from 0 to 4294967295.`);
  }
  return value;
}

/**
 * What the options ask of the user who starts the daemon.
 *
 * @param euid of that user
 * @param handles whether file handles are used, which CAP_DAC_READ_SEARCH opens
 * @returns what cannot be, or undefined
 */
export function refusedConfinement(
  confinement: Confinement,
  euid: number,
  handles: boolean,
): string | undefined {
  const { sandbox, uidMap, gidMap, modcaps } = confinement;
  if (sandbox === 'chroot' && euid !== 0) {
    return '--sandbox=chroot needs root: use --sandbox=namespace.';
  }
  for (const [option, map] of [
    ['--uid-map', uidMap],
    ['--gid-map', gidMap],
  ] as const) {
    if (map.length > 0 && (euid === 0 || sandbox !== 'namespace')) {
      return `${option} is for users other than root, with --sandbox=namespace.`;
    }
  }
  const change = modcaps.filter(({ capability }) => capability === 'DAC_READ_SEARCH').at(-1);
  if (handles && change?.keep === false) {
    return '--modcaps cannot take dac_read_search away while file handles are used: use --inode-file-handles=never.';
  }
  return undefined;
}
