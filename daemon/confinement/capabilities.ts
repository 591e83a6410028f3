/** Which capabilities the daemon works with: those of virtiofsd, capabilities(7). */

import { readFileSync } from 'node:fs';
import type { Capability, CapabilityChange } from '../options/confinementOptions';
import { CAPABILITY_NUMBERS } from '../options/confinementOptions';

const KEPT: readonly Capability[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'MKNOD',
  'SETFCAP',
  'SETGID',
  'SETUID',
];

/** More than any kernel has. */
export const ALL_CAPABILITIES = (1n << 64n) - 1n;

/**
 * The mask of what is kept.
 *
 * @param modcaps the last change of a capability counts; what is added has to be available
 * @param handles whether file handles are used, which CAP_DAC_READ_SEARCH opens
 * @param available containers leave some of the usual ones out, and most guests do not miss them
 */
export function keptCapabilities(
  modcaps: readonly CapabilityChange[],
  handles: boolean,
  available: bigint,
): bigint {
  const usual = mask(handles ? [...KEPT, 'DAC_READ_SEARCH'] : KEPT) & available;
  return modcaps.reduce(
    (kept, { capability, keep }) => (keep ? kept | mask([capability]) : kept & ~mask([capability])),
    usual,
  );
}

export function mask(capabilities: readonly Capability[]): bigint {
  return capabilities.reduce((bits, name) => bits | (1n << BigInt(CAPABILITY_NUMBERS[name])), 0n);
}

/** What the calling process has now. */
export interface OwnCapabilities {
  readonly permitted: bigint;
  /** What programs that it executes can have at most. */
  readonly bounds: bigint;
}

export function ownCapabilities(): OwnCapabilities {
  const status = readFileSync('/proc/self/status', 'latin1');
  const field = (name: string) => {
    const digits = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    if (digits === undefined) throw new Error(`/proc/self/status has no ${name}.`);
    return BigInt(`0x${digits}`);
  };
  return { permitted: field('CapPrm'), bounds: field('CapBnd') };
}
