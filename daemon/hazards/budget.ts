/** Descriptors, disk space and entries: H23, H24, H25. */

import type { Finding, HazardRule } from './hazard';
import type { DescriptorUse, GrowthSample, Zombies } from './resources';

/** A share of the guest's descriptors at which it is said, and one below which it is over. */
const HIGH = 0.8;
const LOW = 0.7;
/** How long a refused request is news. */
const REFUSAL_MS = 60_000;

const DESCRIPTOR_ADVICE =
  'Each entry without handle and each open file takes one. Use `--inode-file-handles=prefer` where the ' +
  'file system has handles, raise `--rlimit-nofile`, or let the guest forget: `echo 2 > ' +
  '/proc/sys/vm/drop_caches`, a higher vfs_cache_pressure.';

function exhaustion(use: DescriptorUse, time: number, isOpen: boolean): Finding | null {
  const { used, limit, refused, lastRefused } = use;
  const refusing = lastRefused !== null && time - lastRefused < REFUSAL_MS;
  const high = limit > 0 && used / limit > (isOpen ? LOW : HIGH);
  if (!refusing && !high) return null;
  return {
    key: 'guest',
    severity: refusing ? 'error' : 'resource',
    nodeids: [],
    evidence: { used, limit, refused, guestSaw: refusing ? 'ENFILE' : null },
    advice: refusing
      ? `The guest gets ENFILE: it holds ${used} of the ${limit} descriptors that it may have. ${DESCRIPTOR_ADVICE}`
      : `The guest holds ${used} of the ${limit} descriptors that it may have. ${DESCRIPTOR_ADVICE}`,
  };
}

export const descriptorExhaustion: HazardRule = {
  id: 'H23',
  name: 'FD EXHAUSTION',
  standing({ descriptors, time }, _view, isOpen) {
    const finding = exhaustion(descriptors, time, isOpen('guest'));
    return finding === null ? [] : [finding];
  },
};

/**
 * A program in the guest that deletes what it has open makes a zombie for as long as it runs; so do
 * the moments between a deletion on the host and the guest's next look. Neither is worth a word.
 */
const ZOMBIE_GRACE_MS = 5_000;
const ZOMBIES_MANY = 100;
const ZOMBIES_LARGE = 1024 * 1024;

function matters({ count, bytes, since }: Zombies, time: number): boolean {
  return time - since >= ZOMBIE_GRACE_MS && (count >= ZOMBIES_MANY || bytes >= ZOMBIES_LARGE);
}

export const zombies: HazardRule = {
  id: 'H24',
  name: 'ZOMBIE O_PATH',
  standing: (resources) =>
    resources.zombies
      .filter((group) => matters(group, resources.time))
      .map(({ directory, path, count, bytes }) => ({
        key: `directory ${directory}`,
        severity: 'resource',
        nodeids: [],
        evidence: { directory: path ?? `node ${directory}`, count, bytes: String(bytes) },
        advice:
          `${count} deleted files of ${path ?? `node ${directory}`} keep ${megabytes(bytes)} of disk: an entry ` +
          'holds an open descriptor to each until the guest forgets it. Delete files inside the guest, drop ' +
          'its caches (`echo 2 > /proc/sys/vm/drop_caches`), or use `--inode-file-handles=prefer`, whose ' +
          'entries keep no file.',
      })),
};

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** An hour in six parts: a walk through a large tree fills one or two of them, a leak all. */
const PARTS = 6;
const PART_MINUTES = 10;
/** Below this, entries cost too little memory to be a matter. */
const MANY_ENTRIES = 100_000;
/** In each part at least this share of what was there: what grows slower is nobody's concern. */
const SHARE_PER_PART = 0.01;
/** A guest that lets go of one entry in a hundred manages its cache. */
const FORGOTTEN_SHARE = 0.01;

function growth(samples: readonly GrowthSample[]): Finding | null {
  const needed = PARTS * PART_MINUTES + 1;
  const [first, last] = [samples.at(-needed), samples.at(-1)];
  if (first === undefined || last === undefined || last.entries < MANY_ENTRIES) return null;
  for (let part = 0; part < PARTS; part++) {
    const from = samples.at(part * PART_MINUTES - needed)?.entries ?? 0;
    const to = samples.at((part + 1) * PART_MINUTES - needed)?.entries ?? 0;
    if (to - from < from * SHARE_PER_PART || to <= from) return null;
  }
  const grown = last.entries - first.entries;
  const forgotten = last.forgets - first.forgets;
  if (forgotten > grown * FORGOTTEN_SHARE) return null;
  const minutes = Math.round((last.time - first.time) / 60_000);
  return {
    key: 'tables',
    severity: 'resource',
    nodeids: [],
    evidence: { entries: last.entries, grown, forgets: forgotten, minutes },
    advice:
      `The tables grew by ${grown} entries in ${minutes} minutes, and the guest forgot ${forgotten}. Nothing ` +
      'but FORGET removes an entry, with handles or without. The guest keeps them as long as it has memory ' +
      'for names: `echo 2 > /proc/sys/vm/drop_caches` or a higher vfs_cache_pressure there.',
  };
}

export const entryGrowth: HazardRule = {
  id: 'H25',
  name: 'ENTRY GROWTH',
  standing(resources) {
    const finding = growth(resources.growth);
    return finding === null ? [] : [finding];
  },
};
