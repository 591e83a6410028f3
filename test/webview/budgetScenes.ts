/** Hand-made budgets: what the daemon would send. */

import type { BudgetJson, GrowthSampleJson, MountJson } from '../../daemon/protocol/budget';

const NOW = Date.parse('2026-11-22T06:30:00.000Z');

function mount(mntId: number, parts: Partial<MountJson>): MountJson {
  return {
    mntId: String(mntId),
    mntIdUnique: String(2_147_484_000 + mntId),
    fsType: 'ext4',
    point: '/srv/share',
    mounted: true,
    handles: 'yes',
    refused: null,
    entries: { file: 0, handle: 0, invalid: 0 },
    descriptors: 1,
    twins: [],
    ...parts,
  };
}

function series(
  count: number,
  every: number,
  grows: (share: number) => number,
): GrowthSampleJson[] {
  return Array.from({ length: count }, (_, index) => {
    const share = index / (count - 1);
    return {
      time: new Date(NOW - (count - 1 - index) * every).toISOString(),
      entries: Math.round(17_000 + grows(share)),
      descriptors: Math.round(620 + grows(share) / 20),
      forgets: 80 + Math.round(8 * share),
    };
  });
}

/** A share with mounts below it: each kind of handle support, one that was unmounted, twins. */
export function someBudget(): BudgetJson {
  return {
    seq: '120',
    time: new Date(NOW).toISOString(),
    mounts: [
      mount(74, {
        entries: { file: 3, handle: 18_196, invalid: 0 },
        descriptors: 4,
        twins: [{ mntId: '78', pairs: 12 }],
      }),
      mount(78, {
        point: '/srv/share/b',
        entries: { file: 0, handle: 12, invalid: 0 },
        twins: [{ mntId: '74', pairs: 12 }],
      }),
      mount(81, {
        fsType: 'btrfs',
        point: '/srv/share/images and other large things/volumes/2026/november/the-long-one',
        mounted: false,
        entries: { file: 41, handle: 0, invalid: 0 },
        descriptors: 41,
        handles: 'off',
      }),
      mount(83, {
        fsType: 'fuse',
        point: '/srv/share/remote',
        handles: 'volatile',
        entries: { file: 0, handle: 204, invalid: 0 },
      }),
      mount(90, {
        fsType: 'ext4',
        point: '/srv/share/m',
        handles: 'not_openable',
        refused: 'EIO',
        descriptors: 0,
      }),
      mount(91, {
        mntIdUnique: null,
        fsType: 'overlay',
        point: '/srv/share/merged',
        handles: 'no',
        entries: { file: 604, handle: 0, invalid: 1 },
        descriptors: 604,
      }),
    ],
    moreMounts: 0,
    descriptors: {
      used: 812,
      limit: 914,
      reserved: 110,
      entries: 648,
      openFiles: 164,
      mounts: 4,
      refused: 3,
      lastRefused: new Date(NOW - 70_000).toISOString(),
    },
    zombies: {
      count: 206,
      bytes: '22860186',
      directories: [
        { nodeid: '104', path: 'src/lib/codec', count: 200, bytes: '21810176' },
        { nodeid: '1', path: '.', count: 5, bytes: '1050000' },
        { nodeid: null, path: null, count: 1, bytes: '10' },
      ],
      moreDirectories: 2,
      sweptAt: new Date(NOW - 2_000).toISOString(),
    },
    directories: {
      byEntries: [
        { nodeid: '103', path: 'src/lib', entries: 12_044, descriptors: 0 },
        { nodeid: '104', path: 'src/lib/codec', entries: 4_100, descriptors: 204 },
        { nodeid: '1', path: '.', entries: 4, descriptors: 2 },
      ],
      byDescriptors: [
        { nodeid: '106', path: 'build/debug/objects', entries: 404, descriptors: 404 },
        { nodeid: '104', path: 'src/lib/codec', entries: 4_100, descriptors: 204 },
      ],
      total: 214,
    },
    growth: {
      minute: series(60, 1_000, (share) => 1_400 * share + 60 * Math.sin(9 * share)),
      hour: series(61, 60_000, (share) => 1_400 * share * share),
    },
  };
}

/** A share that has just begun, in a daemon that knows no limit. */
export function emptyBudget(): BudgetJson {
  const { seq, time } = someBudget();
  return {
    seq,
    time,
    mounts: [],
    moreMounts: 0,
    descriptors: {
      used: 0,
      limit: 0,
      reserved: 0,
      entries: 0,
      openFiles: 0,
      mounts: 0,
      refused: 0,
      lastRefused: null,
    },
    zombies: { count: 0, bytes: '0', directories: [], moreDirectories: 0, sweptAt: null },
    directories: { byEntries: [], byDescriptors: [], total: 0 },
    growth: { minute: [], hour: [] },
  };
}
