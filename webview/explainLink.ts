/** The way to a hazard's page: the daemon serves it to a browser, VS Code has it in the extension. */

import { isPlainPage } from './channel';
import { el } from './dom';

/** @param explain asks VS Code to show it */
export function explainLink(
  hazard: string,
  text: string,
  explain: (hazard: string) => void,
): HTMLElement {
  const title = `What ${hazard} is, and what to do`;
  if (isPlainPage()) {
    const attributes = { href: `/hazards/${hazard}`, target: '_blank', rel: 'noopener' };
    return el('a', { class: 'explain', text, title, attributes });
  }
  const button = el('button', { class: 'explain', text, title, attributes: { type: 'button' } });
  button.addEventListener('click', () => explain(hazard));
  return button;
}
