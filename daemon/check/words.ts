/** Facts in words, the same in the terminal and in the editor. Pure. */

import type { Severity } from '../hazards/hazard';
import type {
  CheckReport,
  FileCount,
  Finding,
  Handles,
  HostFacts,
  Level,
  MountFacts,
  Numbers,
} from './report';

/** 1204 → 1,204 */
export function grouped(value: number | string): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 1 handle, 2 handles */
function counted(value: number, one: string, many: string): string {
  return `${grouped(value)} ${value === 1 ? one : many}`;
}

export const LEVEL_WORDS: Readonly<Record<Level, string>> = {
  good: 'Good',
  care: 'With care',
  bad: 'Danger',
};

export const SEVERITY_WORDS: Readonly<Record<Severity, string>> = {
  data: 'wrong data',
  error: 'errors',
  identity: 'identity',
  resource: 'resources',
  information: 'to know',
};

export function handlesText(handles: Handles): string {
  switch (handles.state) {
    case 'yes':
      return `yes, and they open (type ${handles.type}, ${handles.bytes} bytes)`;
    case 'volatile':
      return `volatile (type ${handles.type}, ${handles.bytes} bytes)`;
    case 'no':
      return `no (${handles.errno})`;
    case 'not_openable':
      return `made, but not openable (${handles.errno})`;
    case 'mount_not_openable':
      return `the mount cannot be opened (${handles.errno})`;
    case 'not_tried':
      return `not tried: ${handles.why}`;
  }
}

export function numbersText(numbers: Numbers, path: string): string {
  if (numbers.state === 'not_tried') return `not tried: ${numbers.why}`;
  const { rounds, distinctNumbers, distinctHandles, reusedWhileHeld } = numbers;
  const used = `${distinctNumbers === rounds ? 'not ' : ''}used again`;
  const handles =
    distinctHandles === null ? 'no handles' : counted(distinctHandles, 'handle', 'handles');
  const had = `${counted(distinctNumbers, 'number', 'numbers')} and ${handles}`;
  const held = reusedWhileHeld ? '; also while a descriptor is held on the removed file' : '';
  const where = numbers.in === path ? '' : ` (tried in ${numbers.in})`;
  const time = numbers.timeRestored ? '' : '; the time of change could not be put back exactly';
  return `${used}: ${grouped(rounds)} files had ${had}${where}${held}${time}`;
}

export function identityText(identity: MountFacts['identity']): string {
  if (identity === null) return 'not known';
  const parts = {
    btime: identity.btime,
    'subvolume id': identity.subvolume,
    'unique mount id': identity.uniqueMountId,
    'mount id': identity.mountId,
  };
  const named = (has: boolean): string =>
    Object.entries(parts)
      .filter(([name, value]) => value === has && (name !== 'mount id' || !has))
      .map(([name]) => name)
      .join(', ');
  return [named(true), named(false) === '' ? '' : `no ${named(false)}`]
    .filter((text) => text !== '')
    .join('; ');
}

export function filesText(files: FileCount | null): string {
  if (files === null) return 'not counted';
  const { complete, unreadableDirectories, inodesInUse } = files;
  const here = `${complete ? '' : 'at least '}${grouped(files.counted)}`;
  const unreadable =
    unreadableDirectories === 0
      ? ''
      : `, ${counted(unreadableDirectories, 'directory', 'directories')} unreadable`;
  const all = inodesInUse === null ? '' : `; ${grouped(inodesInUse)} on the whole file system`;
  return `${here}${unreadable}${all}`;
}

/** `H11 UNPINNED ALIAS: wrong data, with never`; the modes are left out where all are meant. */
export function findingTitle(finding: Finding): string {
  const { hazard, name, severity, modes, programs, verified } = finding;
  const number = hazard === null ? '' : `${hazard} `;
  return [
    `${number}${name}: ${SEVERITY_WORDS[severity]}`,
    ...(modes.length === 3 ? [] : [`with ${modes.join(' and ')}`]),
    ...(programs.length === 2 ? [] : [`in ${programs.join()}`]),
    ...(verified ? [] : ['not verified']),
  ].join(', ');
}

/** Rows about the host: what it is, and what was found. */
export function hostRows(host: HostFacts): readonly (readonly [string, string])[] {
  const { kernel, uid, missingCapabilities, userNamespaces, descriptors } = host;
  const user = uid === 0 ? 'root' : `user ${uid}`;
  const rights =
    missingCapabilities.length === 0
      ? 'with every capability that virtiofsd uses'
      : `without ${missingCapabilities.join(', ')}`;
  const inside = host.initialUserNamespace ? '' : ', in a user namespace';
  const possible = { true: 'possible', false: 'not possible', null: 'not known' };
  const { daemonGets, soft, hard, most } = descriptors;
  return [
    ['Kernel', kernel],
    ['User', `${user}${inside}, ${rights}`],
    [
      'Sandbox',
      `namespaces for ordinary users: ${possible[`${userNamespaces.possible}`]} (${userNamespaces.why})`,
    ],
    [
      'Descriptors',
      `${grouped(daemonGets)} for a daemon; limits now ${grouped(soft)} and ${grouped(hard)}, ` +
        `at most ${grouped(most)}`,
    ],
  ];
}

/** Rows about a mount that was reached. */
export function mountRows(mount: MountFacts): readonly (readonly [string, string])[] {
  return [
    ['Handles', handlesText(mount.handles)],
    ['Numbers', numbersText(mount.numbers, mount.path)],
    ['statx', identityText(mount.identity)],
    ['Files', filesText(mount.files)],
  ];
}

/** What a mount is: `ext4 on /dev/vda1, read-only`. */
export function mountText({ type, source, readOnly, mountPoint, path }: MountFacts): string {
  const at = mountPoint === path ? '' : `, mounted on ${mountPoint}`;
  return `${type} on ${source}${at}${readOnly ? ', read-only' : ''}`;
}

/** Whether the visit can be seen afterwards. */
export function tracesText({ mounts }: Pick<CheckReport, 'mounts'>): string {
  const changed = mounts.filter(
    ({ numbers }) => numbers.state === 'measured' && !numbers.timeRestored,
  );
  return changed.length === 0
    ? 'Nothing in it was changed.'
    : `Nothing in it was changed but the time of ${changed.map(({ path }) => path).join(', ')}.`;
}
