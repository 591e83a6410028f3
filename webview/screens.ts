/** What stands in the map's place when there is nothing to map. */

import { ui } from '#ui';
import type { Target } from '../daemon/protocol/json';
import type { MapWindow } from '../daemon/protocol/map';
import { isPlainPage } from './channel';
import { el, setText } from './dom';
import { mark } from './glyphs';
import type { Phase } from './session';

export interface ScreenActions {
  readonly again: () => void;
  readonly clearSearch: () => void;
}

export interface Screens {
  /** Over the map. */
  readonly element: HTMLElement;
  /** Above the map, where the last picture of an ended daemon stays readable. */
  readonly banner: HTMLElement;
  draw(
    phase: Phase,
    window: MapWindow | undefined,
    target: Target | undefined,
    query: string,
  ): void;
}

/** In VS Code the host says itself what to do. */
const NEXT_STEP = isPlainPage()
  ? ' Check that the daemon runs (virtiofsd-inspector list), or start it again, then connect.'
  : '';

export function screens(actions: ScreenActions): Screens {
  const title = el('h2', { class: 'screen-title' });
  const text = el('p', { class: 'screen-text' });
  const again = ui.button({
    testId: 'again',
    text: 'Connect again',
    hint: 'Connect to the daemon again',
    appearance: 'primary',
    onPress: actions.again,
  });
  const clear = ui.button({
    testId: 'clear-search',
    text: 'Clear search',
    hint: 'Show all rows again',
    appearance: 'secondary',
    onPress: actions.clearSearch,
  });
  const element = el(
    'div',
    { class: 'screen', data: { testid: 'screen' }, attributes: { role: 'status' } },
    mark(),
    title,
    text,
    again.element,
    clear.element,
  );
  const bannerText = el('span', { class: 'banner-text' });
  const bannerAgain = ui.button({
    testId: 'banner-again',
    text: 'Connect again',
    hint: 'Connect to the daemon again',
    appearance: 'secondary',
    onPress: actions.again,
  });
  const banner = el(
    'div',
    { class: 'banner', data: { testid: 'banner' }, attributes: { role: 'status' } },
    bannerText,
    bannerAgain.element,
  );

  return {
    element,
    banner,
    draw(phase, window, target, query) {
      const hasPicture = window !== undefined && window.total > 0;
      banner.hidden = phase.at === 'open' || !hasPicture;
      if (!banner.hidden) {
        setText(
          bannerText,
          phase.at === 'ended'
            ? `${phase.message} This is the last that was seen.${NEXT_STEP}`
            : 'Connecting to the daemon again. This is the last that was seen.',
        );
        bannerAgain.element.classList.toggle('gone', phase.at !== 'ended');
      }
      const screen = screenOf(phase, window, target, query);
      element.hidden = screen === undefined;
      if (screen === undefined) return;
      element.dataset['screen'] = screen.name;
      setText(title, screen.title);
      setText(text, screen.text);
      again.element.classList.toggle('gone', screen.name !== 'ended');
      clear.element.classList.toggle('gone', screen.name !== 'no-match');
    },
  };
}

interface Screen {
  readonly name: 'connecting' | 'ended' | 'reading' | 'empty' | 'no-match';
  readonly title: string;
  readonly text: string;
}

function screenOf(
  phase: Phase,
  window: MapWindow | undefined,
  target: Target | undefined,
  query: string,
): Screen | undefined {
  if (window !== undefined && window.total > 0) return undefined;
  if (phase.at === 'connecting') {
    return { name: 'connecting', title: 'Connecting', text: phase.message };
  }
  if (phase.at === 'ended') {
    return { name: 'ended', title: 'Not connected', text: `${phase.message}${NEXT_STEP}` };
  }
  if (window === undefined) {
    return { name: 'reading', title: 'Reading the tables', text: '' };
  }
  if (query !== '') {
    return {
      name: 'no-match',
      title: `No entry matches “${query}”`,
      text: 'Search for a part of a path, an inode number (ino 12), a node id (node 3), or the beginning of a handle in hex (handle 0c00).',
    };
  }
  return {
    name: 'empty',
    title: 'No entries yet',
    text: `Work in ${workPlace(target)}: each name the kernel looks up appears here.`,
  };
}

/** Where files are to be touched, from the target's transport. */
function workPlace(target: Target | undefined): string {
  const mounted = /^\/dev\/fuse on (.+)$/.exec(target?.transport ?? '');
  return mounted?.[1] ?? `the guest's mount of ${target?.sharedDir ?? 'the share'}`;
}
