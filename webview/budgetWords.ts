/** Mounts and budget in words. */

import type { BudgetJson, MountJson } from '../daemon/protocol/budget';
import { countText, plural, timeText } from './words';

export const HANDLE_WORDS: {
  readonly [H in MountJson['handles']]: { readonly name: string; readonly means: string };
} = {
  yes: { name: 'yes', means: 'entries there have file handles' },
  no: { name: 'no', means: 'the file system makes no handles: each entry holds a descriptor' },
  volatile: {
    name: 'volatile',
    means:
      'a FUSE file system that forgets its handles under memory pressure: use --inode-file-handles=never',
  },
  not_openable: { name: 'not openable', means: 'there are handles, but they cannot be opened' },
  off: { name: 'off', means: 'handles are not in use: --inode-file-handles=never' },
  unknown: { name: 'unknown', means: 'no entry there' },
};

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** `21.8 MiB`; takes the protocol's decimal strings. */
export function bytesText(bytes: string): string {
  let value = Number(BigInt(bytes));
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? 'B'}`;
}

/** What keeps a mount from being unmounted. */
export function pinnedText({ entries, descriptors }: MountJson): string {
  const parts = [
    ...(entries.file > 0 ? [`${countText(entries.file)} O_PATH`] : []),
    ...(descriptors > entries.file ? ['its handles’ descriptor'] : []),
  ];
  return parts.length === 0 ? 'nothing' : parts.join(' + ');
}

export function twinsText({ twins }: MountJson): string {
  return twins.map(({ mntId, pairs }) => `${countText(pairs)} with ${mntId}`).join(', ');
}

/** One sentence about the descriptors. */
export function gaugeText({ used, limit }: BudgetJson['descriptors']): string {
  if (limit === 0) return `${countText(used)} held for the guest; the limit is not known.`;
  const share = Math.round((100 * used) / limit);
  const left = Math.max(0, limit - used);
  return `${share} % of what the guest may make the daemon hold; ${countText(left)} left.`;
}

export function refusedText({ refused, lastRefused }: BudgetJson['descriptors']): string | null {
  if (refused === 0) return null;
  const last = lastRefused === null ? '' : `, the last at ${timeText(lastRefused)}`;
  return `${plural(refused, 'request', 'requests')} got ENFILE because the limit was reached${last}.`;
}

export function zombiesText({ count, bytes, sweptAt }: BudgetJson['zombies']): string {
  if (sweptAt === null && count === 0) return 'Entries that hold descriptors are being looked at.';
  if (count === 0) return 'No entry keeps a deleted file on the disk.';
  return `${plural(count, 'deleted file', 'deleted files')} on the disk until the guest forgets: ${bytesText(bytes)}.`;
}

/** How one of the numbers went, from its first sample to its last: `18,425 (+1,425)`. */
export function growthText(values: readonly number[]): string {
  const first = values[0];
  const last = values.at(-1);
  if (first === undefined || last === undefined) return 'no sample yet';
  const by = last - first;
  const change = by === 0 ? 'unchanged' : `${by > 0 ? '+' : '−'}${countText(Math.abs(by))}`;
  return `${countText(last)} (${change})`;
}
