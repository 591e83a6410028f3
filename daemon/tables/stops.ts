/** Where a request can be held, why, and which calls can be made to fail: the debugger's words. */

/**
 * The points of a request, in the order in which one passes them. Between `request` and `reply` a
 * lookup has its own, and so has a forget.
 */
export const STOP_POINTS = [
  /** The request has been received and checked. */
  'request',
  /** The parent directory is known to the tables; it has not been opened yet. */
  'parent',
  /** The name has been opened (O_PATH). */
  'opened',
  /** statx has answered: the ids are known. */
  'identified',
  /** name_to_handle_at has answered: a handle, or the errno why there is none. */
  'handle',
  /** `inodes_by_handle` has been asked. */
  'by_handle',
  /** `inodes_by_ids` has been asked. */
  'by_ids',
  /** The entry found by its ids is believed, or is not. */
  'fallback',
  /** A new entry stands in the tables. */
  'inserted',
  /** An entry of the tables has answered; the lookup is counted. */
  'claimed',
  /** A forget is about to count an entry's lookups down. */
  'counted',
  /** The entry has gone. */
  'removed',
  /** Its keys have gone, whoever owned them. */
  'keys_removed',
  /** The answer is ready and has not been sent. */
  'reply',
] as const;
export type StopPoint = (typeof STOP_POINTS)[number];

/** What a breakpoint can name: the points, with both outcomes of `fallback`. */
export const DECISIONS = [
  ...STOP_POINTS,
  'fallback_accepted',
  'fallback_rejected',
] as const satisfies readonly string[];
export type Decision = (typeof DECISIONS)[number];

export const PAUSE_REASONS = ['breakpoint', 'hazard', 'step', 'pause'] as const;
export type PauseReason = (typeof PAUSE_REASONS)[number];

export const RESUME_REASONS = [
  /** The debugger said so. */
  'continue',
  'step',
  /** The debugger detached, closed its connection, or was not heard of for the agreed time. */
  'detached',
  'disconnected',
  'timeout',
  /** The guest's session ends or begins anew, or the daemon ends: nothing may be under way then. */
  'session',
  'ended',
  /** As many requests are held as may be; this one was not. */
  'limit',
] as const;
export type ResumeReason = (typeof RESUME_REASONS)[number];

/** System calls that can be made to fail. */
export const FAULT_CALLS = ['name_to_handle_at', 'open_by_handle_at', 'statx', 'openat'] as const;
export type FaultCall = (typeof FAULT_CALLS)[number];
