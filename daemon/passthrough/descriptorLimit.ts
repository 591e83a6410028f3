/** RLIMIT_NOFILE: one descriptor goes to each entry without handle and to each open file. */

import { readFileSync } from 'node:fs';
import type { Addon } from '../../native/index';
import type { HandleMode, Log } from './options';

/** Kept for the daemon itself (virtiofsd: 609, and one per thread). */
export const RESERVED = 610;
const DEFAULT_LIMIT = 1_000_000;
/** So few that something is wrong, as in virtiofsd. */
const FEW = 128;

/**
 * Raises the limit as virtiofsd does.
 *
 * @param handles the mode in force
 * @param wanted the option; 0 leaves the limit, left out takes the default
 * @returns how many descriptors the guest may make the daemon hold
 * @throws Error when the wanted limit cannot be had or leaves nothing for the guest
 */
export function raiseDescriptorLimit(
  native: Addon,
  wanted: number | undefined,
  handles: HandleMode,
  log: Log,
): number {
  const { soft, hard } = native.openFilesLimit();
  let limit = soft;
  if (wanted !== undefined && wanted !== 0) {
    const result = native.setOpenFilesLimit(wanted, wanted);
    if (result < 0) {
      throw new Error(
        `--rlimit-nofile=${wanted} was refused (errno ${-result}); at most fs.nr_open ` +
          `(${numberOfOpenFilesAllowed()}) is possible, and without root at most ${hard}.`,
      );
    }
    limit = wanted;
  } else if (wanted === undefined) {
    const best = Math.min(DEFAULT_LIMIT, numberOfOpenFilesAllowed());
    if (soft < DEFAULT_LIMIT) {
      if (native.setOpenFilesLimit(best, Math.max(best, hard)) >= 0) {
        limit = best;
      } else if (native.setOpenFilesLimit(hard, hard) >= 0) {
        limit = hard;
        // With handles only open files take a descriptor.
        const level = handles === 'never' ? 'warn' : 'debug';
        log(level, `Only ${hard} open files are allowed; large trees may end in ENFILE.`);
      }
    }
  }
  if (limit < RESERVED) {
    throw new Error(
      `RLIMIT_NOFILE is ${limit}, but the daemon needs ${RESERVED} and more: raise --rlimit-nofile.`,
    );
  }
  const left = limit - RESERVED;
  if (left < FEW) log('warn', `Only ${left} descriptors are left to the guest.`);
  return left;
}

function numberOfOpenFilesAllowed(): number {
  return Number(readFileSync('/proc/sys/fs/nr_open', 'utf8'));
}
