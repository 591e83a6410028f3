/** What a screen reader hears without asking, and the short notes at the page's foot. */

import type { Status } from '../daemon/protocol/map';
import { el } from './dom';
import { plural } from './words';

const LOUD = ['data', 'error', 'identity'] as const;
/** Hazards that open together are told together. */
const GATHER_MS = 1_000;
const NOTE_MS = 4_000;

export interface Live {
  readonly element: HTMLElement;
  /** Tells hazards that have opened since the last status. */
  status(status: Status): void;
  /** Shows a note for a moment and has it read. */
  say(text: string): void;
}

export function live(): Live {
  const region = el('div', {
    class: 'visually-hidden',
    data: { testid: 'announcement' },
    attributes: { 'aria-live': 'polite' },
  });
  const note = el('div', {
    class: 'note-box',
    data: { testid: 'note' },
    attributes: { role: 'status' },
  });
  note.hidden = true;
  let before: Status['open'] | undefined;
  let latest: Status['open'] | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let noteTimer: ReturnType<typeof setTimeout> | undefined;

  const tell = (): void => {
    timer = undefined;
    if (before === undefined || latest === undefined) return;
    const from = before;
    const to = latest;
    const opened = LOUD.filter((severity) => to[severity] > from[severity]).map((severity) =>
      plural(
        to[severity] - from[severity],
        `new hazard of severity ${severity}`,
        `new hazards of severity ${severity}`,
      ),
    );
    before = latest;
    if (opened.length > 0) region.textContent = `${opened.join(', ')}. Press h to go to the next.`;
  };

  return {
    element: el('div', { class: 'live-regions' }, region, note),
    status({ open }) {
      latest = open;
      before ??= open;
      timer ??= setTimeout(tell, GATHER_MS);
    },
    say(text) {
      note.textContent = text;
      note.hidden = false;
      clearTimeout(noteTimer);
      noteTimer = setTimeout(() => {
        note.hidden = true;
      }, NOTE_MS);
    },
  };
}
