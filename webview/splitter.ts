/** The border between the map and the details, moved by pointer or keyboard. */

import { el } from './dom';

export interface SplitterActions {
  /** Size of the panel, in CSS pixels, in the direction in which it can grow. */
  size(): number;
  resize(size: number): void;
  /** Narrow pages have the panel below the map. */
  isBelow(): boolean;
}

const KEY_STEP = 24;

export function splitter(actions: SplitterActions): HTMLElement {
  const element = el('div', {
    class: 'splitter',
    data: { testid: 'splitter' },
    attributes: {
      role: 'separator',
      tabindex: '0',
      'aria-label': 'Size of the details',
      'aria-valuemin': '0',
      'aria-valuemax': '100',
      'aria-valuenow': '30',
    },
  });
  const resize = (size: number): void => {
    actions.resize(size);
    const whole = actions.isBelow() ? innerHeight : innerWidth;
    element.setAttribute('aria-valuenow', String(Math.round((100 * actions.size()) / whole)));
    element.setAttribute('aria-orientation', actions.isBelow() ? 'horizontal' : 'vertical');
  };
  element.addEventListener('pointerdown', (down) => {
    const below = actions.isBelow();
    const from = below ? down.clientY : down.clientX;
    const before = actions.size();
    element.setPointerCapture(down.pointerId);
    const move = (event: PointerEvent): void =>
      resize(before + from - (below ? event.clientY : event.clientX));
    element.addEventListener('pointermove', move);
    element.addEventListener(
      'lostpointercapture',
      () => element.removeEventListener('pointermove', move),
      { once: true },
    );
    down.preventDefault();
  });
  element.addEventListener('keydown', (event) => {
    const grow = actions.isBelow() ? 'ArrowUp' : 'ArrowLeft';
    const shrink = actions.isBelow() ? 'ArrowDown' : 'ArrowRight';
    if (event.key === grow) resize(actions.size() + KEY_STEP);
    else if (event.key === shrink) resize(actions.size() - KEY_STEP);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return element;
}
