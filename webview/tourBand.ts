/** A tour's narration: the step that is shown, what to look at, back and next. */

import { ui } from '#ui';
import type { TourState } from '../daemon/protocol/tour';
import { el, setText } from './dom';
import { explainLink } from './explainLink';

export interface TourActions {
  readonly go: (step: number) => void;
  readonly reveal: (nodeid: string) => void;
  readonly explain: (hazard: string) => void;
}

export interface TourBand {
  readonly element: HTMLElement;
  /** Null: no tour. */
  show(state: TourState | null): void;
  back(): void;
  next(): void;
}

export function tourBand(actions: TourActions): TourBand {
  let shown: TourState | null = null;

  const title = el('h2', { class: 'tour-title' });
  const place = el('span', { class: 'tour-place', data: { testid: 'tour-place' } });
  const heading = el('h3', { class: 'tour-step' });
  const text = el('p', { class: 'tour-text', data: { testid: 'tour-text' } });
  const look = el('p', { class: 'tour-look' });
  const back = ui.button({
    testId: 'tour-back',
    text: 'Back',
    hint: 'The step before (b)',
    appearance: 'secondary',
    onPress: () => band.back(),
  });
  const next = ui.button({
    testId: 'tour-next',
    text: 'Next',
    hint: 'The next step (n)',
    appearance: 'primary',
    onPress: () => band.next(),
  });
  const element = el(
    'section',
    { class: 'tour', data: { testid: 'tour' }, attributes: { 'aria-label': 'Tour' } },
    el('div', { class: 'tour-head' }, title, place),
    el('div', { class: 'tour-body', attributes: { 'aria-live': 'polite' } }, heading, text, look),
    el('div', { class: 'tour-buttons' }, back.element, next.element),
  );
  element.hidden = true;

  const band: TourBand = {
    element,
    show(state) {
      shown = state;
      element.hidden = state === null;
      const step = state?.steps[state.step];
      if (state === null || step === undefined) return;
      const isLast = state.step === state.steps.length - 1;
      setText(title, state.title);
      setText(place, `Step ${state.step + 1} of ${state.steps.length}`);
      setText(heading, step.title);
      setText(text, step.text);
      look.hidden = step.nodeids.length + step.hazards.length === 0;
      look.replaceChildren(
        'Look at',
        ...step.nodeids.map((nodeid) => nodeButton(nodeid, actions.reveal)),
        ...step.hazards.map((hazard) => explainLink(hazard, hazard, actions.explain)),
      );
      // A button that goes away leaves the keyboard nowhere.
      if (state.step === 0 && element.contains(document.activeElement)) next.element.focus();
      back.element.classList.toggle('unseen', state.step === 0);
      next.setText(
        isLast ? 'Start again' : 'Next',
        isLast ? 'Back to the first step (n)' : 'The next step (n)',
      );
    },
    back() {
      if (shown !== null && shown.step > 0) actions.go(shown.step - 1);
    },
    next() {
      if (shown !== null) actions.go((shown.step + 1) % shown.steps.length);
    },
  };
  return band;
}

function nodeButton(nodeid: string, reveal: (nodeid: string) => void): HTMLElement {
  const button = el('button', {
    class: 'reveal',
    text: `node ${nodeid}`,
    attributes: { type: 'button' },
  });
  button.addEventListener('click', () => reveal(nodeid));
  return button;
}
