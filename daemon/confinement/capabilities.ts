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

/**
 * The mask of what is kept.
 *
 * @param modcaps the last change of a capability counts
 * @param handles whether file handles are used, which CAP_DAC_READ_SEARCH opens
 */
export function keptCapabilities(modcaps: readonly CapabilityChange[], handles: boolean): bigint {
  const kept = new Set(KEPT);
  if (handles) kept.add('DAC_READ_SEARCH');
  for (const { capability, keep } of modcaps) {
    if (keep) kept.add(capability);
    else kept.delete(capability);
  }
  return mask([...kept]);
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
