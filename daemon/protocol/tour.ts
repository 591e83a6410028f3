/**
 * A tour: recorded events, told step by step. `tour.state` and `tour.go` are answered by targets of
 * kind `replay` alone.
 *
 * Going to a step folds the events up to it; going back begins anew, so that positions in the
 * stream (`seq`) begin at 1 again, as after a new connection.
 */

import * as v from 'valibot';
import { decimal } from './json';

export const MAX_TOUR_STEPS = 100;

const words = v.pipe(v.string(), v.minLength(1), v.maxLength(2_000));

export const tourStep = v.object({
  title: words,
  text: words,
  /** The entries to look at, the first one first. */
  nodeids: v.array(decimal),
  /** Ids of the hazards to look at. */
  hazards: v.array(v.pipe(v.string(), v.regex(/^H[0-9]+$/))),
});
export type TourStep = v.InferOutput<typeof tourStep>;

export const tourState = v.object({
  title: words,
  /** The step that is shown; the first one introduces the tour. */
  step: v.number(),
  steps: v.pipe(v.array(tourStep), v.minLength(1), v.maxLength(MAX_TOUR_STEPS)),
});
export type TourState = v.InferOutput<typeof tourState>;

export const TOUR_METHODS = {
  /** Null: a recording without steps. From then on `tour` notifications follow. */
  'tour.state': { request: v.object({}), result: v.nullable(tourState) },
  'tour.go': {
    request: v.object({
      step: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_TOUR_STEPS - 1)),
    }),
    result: tourState,
  },
} as const;

export const TOUR_NOTIFICATIONS = {
  /** Somebody has gone to another step. */
  tour: v.object({ step: v.number() }),
} as const;
