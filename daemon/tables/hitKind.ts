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

/** Whether the descriptor that answered a lookup by ids still is the file that was asked for. */
export const PROBE_RESULTS = ['not-probed', 'same', 'different'] as const;
export type ProbeResult = (typeof PROBE_RESULTS)[number];
