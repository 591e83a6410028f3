/**
 * What one lookup found on the host, before the tables are asked. The daemon fills one such object
 * over and over, so that a lookup allocates nothing; 64-bit values are two 32-bit halves.
 */

import { MAX_HANDLE_BYTES } from './identity';

/** `handleLength` of a candidate for which no handle was made. */
export const NO_HANDLE = -1;

/** `fd` of a candidate that holds no descriptor. */
export const NO_FD = -1;

export class Candidate {
  inoLow = 0;
  inoHigh = 0;
  devMajor = 0;
  devMinor = 0;
  mntId = 0;
  /** st_mode, type bits included. */
  mode = 0;
  handleType = 0;
  /** Bytes of the handle, or `NO_HANDLE`. */
  handleLength = NO_HANDLE;
  /** The handle's bytes in 32-bit words of the host's order; bytes past the end are zero. */
  handleWords = new Int32Array(MAX_HANDLE_BYTES / 4);
  /** An O_PATH descriptor that the entry will hold when no handle was made. */
  fd = NO_FD;
}
