/** Facts of an ordinary ext4 disk and of a host with all rights, to be varied by tests. */

import { advise } from '../../daemon/check/advise';
import type { CheckReport, HostFacts, MountFacts } from '../../daemon/check/report';

export function hostFactsOf(overrides: Partial<HostFacts> = {}): HostFacts {
  return {
    kernel: '6.18.0',
    uid: 0,
    initialUserNamespace: true,
    missingCapabilities: [],
    userNamespaces: { possible: true, why: 'tried as user nobody' },
    descriptors: {
      soft: 1024,
      hard: 524_288,
      most: 1_048_576,
      mayRaise: true,
      daemonGets: 1_000_000,
    },
    ...overrides,
  };
}

export function mountFactsOf(overrides: Partial<MountFacts> = {}): MountFacts {
  return {
    path: '/srv/share',
    role: 'share',
    mountPoint: '/srv/share',
    mountPointEscaped: '/srv/share',
    escapes: { below: false, anywhere: false },
    mntId: '74',
    mntIdUnique: '2147484887',
    device: '7:0',
    type: 'ext4',
    source: '/dev/loop0',
    readOnly: false,
    overlay: null,
    root: 'directory',
    reach: { state: 'reached' },
    handles: { state: 'yes', type: 1, bytes: 8 },
    zeroGeneration: false,
    identity: { mountId: true, btime: true, subvolume: false, uniqueMountId: true },
    numbers: {
      state: 'measured',
      in: '/srv/share',
      rounds: 1000,
      distinctNumbers: 1000,
      distinctHandles: 1000,
      roundsWhileHeld: 64,
      reusedWhileHeld: false,
      timeRestored: true,
    },
    files: {
      counted: 12,
      complete: true,
      unreadableDirectories: 0,
      inodesInUse: '23',
      hardLinked: null,
    },
    ...overrides,
  };
}

export function reportOf(mounts: readonly MountFacts[], host = hostFactsOf()): CheckReport {
  return {
    check: 1,
    version: '0.1.0',
    time: '2026-11-22T12:00:00.000Z',
    directory: '/srv/share',
    host,
    ...advise({ host, mounts }, '/srv/share'),
  };
}
