/**
 * The newest lookup in one sentence. Lookups come faster than they can be read: the band takes at
 * most five a second, lets the last one fade, and keeps a pinned one.
 */

import { ui } from '#ui';
import type { StopPlace } from '../daemon/protocol/hostMessages';
import type { LookupJson } from '../daemon/protocol/json';
import type { LookupRuleName } from '../daemon/tables/lookupRule';
import { el, setAttribute, setText } from './dom';
import type { Explanation } from './explain';
import { explain } from './explain';
import type { Lit } from './links';
import type { EntryKindName } from './words';
import { HITS, timeText } from './words';

/** How long a lookup is shown before the next may take its place. */
const SAMPLE_MS = 200;
/** How long its path stays lit. */
const FADE_MS = 8_000;

export interface ShownLookup {
  readonly lookup: LookupJson;
  readonly explanation: Explanation;
}

export interface LookupBand {
  readonly element: HTMLElement;
  /** The newest lookup of a window; `kindOf` tells the kinds of the entries in it. */
  offer(
    lookup: LookupJson | null,
    rule: LookupRuleName,
    kindOf: (nodeid: string) => EntryKindName | undefined,
  ): void;
  togglePin(): void;
  /** Shows no lookup: a recording begins anew. */
  clear(): void;
  /** Asks «why?» about the lookup shown. */
  why(): void;
  /** While a debugger has stopped a request, its place stands in for the newest lookup. */
  hold(stop: StopPlace | null): void;
  readonly lit: Lit;
  /** What to write beside the refused edge, by node id. */
  readonly refusals: ReadonlyMap<string, string>;
  /** The entry that the lookup shown ended at, while it is lit. */
  readonly answered: string | null;
  draw(): void;
}

const NOTHING: ReadonlySet<string> = new Set();

export function lookupBand(
  dirty: () => void,
  reveal: (nodeid: string) => void,
  explainLookup: (seq: string) => void,
): LookupBand {
  let shown: ShownLookup | undefined;
  let shownAt = -Infinity;
  let next: (() => void) | undefined;
  let sampling: ReturnType<typeof setTimeout> | undefined;
  let fading: ReturnType<typeof setTimeout> | undefined;
  let faded = false;
  let pinned = false;
  let held: StopPlace | null = null;
  /** The first window's lookup may be old: it is told, but its path is not lit. */
  let isFirstOffer = true;

  const hit = el('span', { class: 'hit-chip' });
  const what = el('span', { class: 'what' });
  const reason = el('span', { class: 'why' });
  const time = el('span', { class: 'band-time' });
  const sentence = el('p', { class: 'sentence', data: { testid: 'sentence' } }, what, ' ', reason);
  const show = ui.button({
    testId: 'show-answer',
    text: 'Show',
    hint: 'Go to the entry that answered this lookup',
    appearance: 'secondary',
    onPress: () => {
      const nodeid = shown?.lookup.nodeid;
      if (nodeid !== undefined && nodeid !== null) reveal(nodeid);
    },
  });
  const why = ui.button({
    testId: 'why-lookup',
    text: 'Why?',
    hint: 'Explain this lookup step by step',
    appearance: 'secondary',
    onPress: () => band.why(),
  });
  const pin = ui.button({
    testId: 'pin',
    text: 'Pin',
    hint: 'Keep this lookup in view',
    appearance: 'secondary',
    onPress: () => band.togglePin(),
  });
  const element = el(
    'section',
    { class: 'band', attributes: { 'aria-label': 'The newest lookup' } },
    hit,
    sentence,
    time,
    why.element,
    show.element,
    pin.element,
  );

  const take = (fresh: ShownLookup, known: boolean): void => {
    shown = fresh;
    shownAt = performance.now();
    faded = !known;
    clearTimeout(fading);
    if (known) {
      fading = setTimeout(() => {
        faded = !pinned;
        dirty();
      }, FADE_MS);
    }
    dirty();
  };

  const band: LookupBand = {
    element,
    offer(lookup, rule, kindOf) {
      const first = isFirstOffer;
      isFirstOffer = false;
      if (lookup === null || pinned || lookup.seq === shown?.lookup.seq) return;
      next = () => take({ lookup, explanation: explain(lookup, rule, kindOf) }, !first);
      const wait = shownAt + SAMPLE_MS - performance.now();
      if (wait <= 0) {
        const now = next;
        next = undefined;
        now();
        return;
      }
      sampling ??= setTimeout(() => {
        sampling = undefined;
        const now = next;
        next = undefined;
        if (!pinned) now?.();
      }, wait);
    },
    togglePin() {
      if (shown === undefined) return;
      pinned = !pinned;
      faded = false;
      clearTimeout(fading);
      if (!pinned) {
        fading = setTimeout(() => {
          faded = true;
          dirty();
        }, FADE_MS);
      }
      dirty();
    },
    clear() {
      clearTimeout(sampling);
      clearTimeout(fading);
      sampling = undefined;
      next = undefined;
      shown = undefined;
      pinned = false;
      dirty();
    },
    why() {
      if (shown !== undefined) explainLookup(shown.lookup.seq);
    },
    hold(stop) {
      held = stop;
      dirty();
    },
    get lit() {
      if (held !== null) return litBy(held);
      const places = (verdict: 'accepted' | 'refused'): ReadonlySet<string> =>
        shown === undefined
          ? NOTHING
          : new Set(
              shown.explanation.steps
                .filter((step) => step.verdict === verdict && step.nodeid !== null)
                .map(
                  (step) => `${step.nodeid}:${step.table === 'inodes_by_ids' ? 'ids' : 'handle'}`,
                ),
            );
      return {
        accepted: places('accepted'),
        refused: places('refused'),
        seq: shown?.lookup.seq ?? '',
        faded,
      };
    },
    get refusals() {
      if (held !== null) {
        return new Map(
          held.nodeid !== null && held.accepted === false ? [[held.nodeid, 'not believed']] : [],
        );
      }
      const steps = faded ? [] : (shown?.explanation.steps ?? []);
      return new Map(
        steps.flatMap((step) =>
          step.verdict === 'refused' && step.nodeid !== null ? [[step.nodeid, step.label]] : [],
        ),
      );
    },
    get answered() {
      if (held !== null) return held.nodeid;
      return faded ? null : (shown?.lookup.nodeid ?? null);
    },
    draw() {
      element.classList.toggle('empty', shown === undefined && held === null);
      element.classList.toggle('faded', faded && held === null);
      element.classList.toggle('stopped', held !== null);
      element.classList.toggle('pinned', pinned);
      pin.setPressed(pinned);
      pin.setText(
        pinned ? 'Unpin' : 'Pin',
        pinned ? 'Follow lookups again' : 'Keep this lookup in view',
      );
      pin.element.classList.toggle('gone', held !== null);
      why.element.classList.toggle('gone', held !== null || shown === undefined);
      if (held !== null) {
        setText(hit, 'STOPPED');
        hit.title = 'A debugger holds a request.';
        hit.className = 'hit-chip';
        setText(what, held.sentence);
        setText(reason, '');
        setText(time, '');
        show.element.classList.add('gone');
        return;
      }
      if (shown === undefined) {
        setText(what, 'No lookup yet.');
        setText(
          reason,
          'The next one will be explained here, and the path that it took lights up below.',
        );
        return;
      }
      const { lookup, explanation } = shown;
      setText(hit, HITS[lookup.hit].name);
      hit.title = HITS[lookup.hit].means;
      hit.className = `hit-chip ${lookup.hit}`;
      setText(what, `${explanation.what}:`);
      setText(reason, explanation.why);
      setText(time, timeText(lookup.time));
      time.title = lookup.time;
      setAttribute(element, 'data-seq', lookup.seq);
      show.element.classList.toggle('gone', lookup.nodeid === null);
    },
  };
  return band;
}

function litBy({ nodeid, table, accepted, sentence }: StopPlace): Lit {
  const edge = nodeid === null || table === null ? [] : [`${nodeid}:${sideOf(table)}`];
  return {
    accepted: new Set(accepted === true ? edge : []),
    refused: new Set(accepted === false ? edge : []),
    seq: `stop ${sentence}`,
    faded: false,
  };
}

function sideOf(table: NonNullable<StopPlace['table']>): 'ids' | 'handle' {
  return table === 'inodes_by_ids' ? 'ids' : 'handle';
}
