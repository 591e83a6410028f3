/** What the page itself remembers; everything else is the daemon's truth and read afresh. */

import * as v from 'valibot';
import { decimal } from '../daemon/protocol/json';
import { LANE_ORDERS, laneClass } from '../daemon/protocol/lanes';
import { VIEW_NAMES } from './tabs';

const viewState = v.object({
  view: v.picklist(VIEW_NAMES),
  /** Pixels of rows above the first one in sight (scroll.ts). */
  top: v.pipe(v.number(), v.minValue(0)),
  query: v.pipe(v.string(), v.maxLength(300)),
  unfolded: v.pipe(v.array(decimal), v.maxLength(200)),
  /** The entry whose details are shown. */
  selected: v.nullable(decimal),
  /** The overview's zoom: how many times, and the first row as a share of all. */
  zoom: v.object({ k: v.pipe(v.number(), v.minValue(1)), from: v.pipe(v.number(), v.minValue(0)) }),
  /** Width (beside the map) or height (below it) of the detail panel, in pixels. */
  panel: v.object({ width: v.number(), height: v.number() }),
  /** The Number Lanes: pixels above the first in sight, which ones, and the time that is shown. */
  lanes: v.object({
    top: v.pipe(v.number(), v.minValue(0)),
    classes: v.array(laneClass),
    order: v.picklist(LANE_ORDERS),
    domain: v.nullable(v.object({ from: v.number(), to: v.number() })),
  }),
});
export type ViewState = v.InferOutput<typeof viewState>;

export const FIRST_VIEW: ViewState = {
  view: 'map',
  top: 0,
  query: '',
  unfolded: [],
  selected: null,
  zoom: { k: 1, from: 0 },
  panel: { width: 380, height: 300 },
  lanes: { top: 0, classes: [], order: 'overlap', domain: null },
};

/** What another version of the page saved is not understood and not needed. */
export function readViewState(saved: unknown): ViewState {
  const parsed = v.safeParse(viewState, saved);
  return parsed.success ? parsed.output : FIRST_VIEW;
}
