/** How a lookup was answered, exactly one for each: the legend of every view. */

export const HIT_KINDS = [
  'handle_hit',
  'fallback_hit',
  'handleless_hit',
  'fallback_rejected',
  'miss',
  'error',
] as const;
export type HitKind = (typeof HIT_KINDS)[number];

/** Whether what an entry holds still is the file that a lookup asked for. */
export const PROBE_RESULTS = ['not-probed', 'same', 'different'] as const;
export type ProbeResult = (typeof PROBE_RESULTS)[number];

/** Which lookups probe the entry that answers: those by ids, these and those by handle, or none. */
export const PROBE_MODES = ['hits', 'always', 'never'] as const;
export type ProbeMode = (typeof PROBE_MODES)[number];
