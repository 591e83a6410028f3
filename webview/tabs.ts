/** The views of one daemon, one at a time: the tab pattern of the ARIA practices. */

import { el, setAttribute } from './dom';

export const VIEW_NAMES = ['map', 'lanes', 'budget'] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

const TITLES: { readonly [V in ViewName]: string } = {
  map: 'Key Map',
  lanes: 'Number Lanes',
  budget: 'Mounts and Budget',
};

export interface Tabs {
  readonly element: HTMLElement;
  draw(shown: ViewName): void;
}

export function tabs(choose: (view: ViewName) => void): Tabs {
  const buttons = VIEW_NAMES.map((view) => {
    const element = el('button', {
      class: 'tab',
      text: TITLES[view],
      data: { testid: `tab-${view}` },
      attributes: {
        type: 'button',
        role: 'tab',
        id: `tab-${view}`,
        'aria-controls': `view-${view}`,
      },
    });
    element.addEventListener('click', () => choose(view));
    return { view, element };
  });
  const element = el(
    'div',
    { class: 'tabs', attributes: { role: 'tablist', 'aria-label': 'Views' } },
    ...buttons.map((button) => button.element),
  );
  element.addEventListener('keydown', (event) => {
    const at = buttons.findIndex((button) => button.element === document.activeElement);
    const to =
      event.key === 'ArrowRight'
        ? (at + 1) % buttons.length
        : event.key === 'ArrowLeft'
          ? (at + buttons.length - 1) % buttons.length
          : event.key === 'Home'
            ? 0
            : event.key === 'End'
              ? buttons.length - 1
              : -1;
    const target = buttons[to];
    if (at === -1 || target === undefined) return;
    target.element.focus();
    choose(target.view);
    event.preventDefault();
  });
  return {
    element,
    draw(shown) {
      for (const { view, element: button } of buttons) {
        setAttribute(button, 'aria-selected', String(view === shown));
        // One stop for the Tab key; the arrows go on from there.
        setAttribute(button, 'tabindex', view === shown ? '0' : '-1');
      }
    },
  };
}
