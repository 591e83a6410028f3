/** Leads through a tour: which step is shown, and the recording played up to it. */

import type { Tour } from '../inspector/inspectorSession';
import type { TourState } from '../protocol/tour';
import type { Replay } from './replay';
import type { TourHeader } from './recording';

export interface TourActions {
  /** The replay has a new model. Comes before `moved`. */
  startOver(): void;
  /** Another step is shown. */
  moved(): void;
}

/** @throws Error when the recording does not hold together */
export function tourGuide(
  { title, steps }: TourHeader,
  replay: Replay,
  actions: TourActions,
): Tour {
  const shown = steps.map(({ after: _after, ...step }) => step);
  let step = 0;
  const state = (): TourState => ({ title, step, steps: shown });
  const play = (to: number) => {
    if (replay.playTo(Number(steps[to]?.after ?? 0))) actions.startOver();
  };
  play(0);
  return {
    get step() {
      return step;
    },
    state,
    go(to) {
      step = Math.min(to, steps.length - 1);
      play(step);
      actions.moved();
      return state();
    },
  };
}
