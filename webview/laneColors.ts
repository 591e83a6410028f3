/** The colours of the lanes, as the style sheet and the theme have them, for a canvas. */

import { el } from './dom';

/** Files of one lane are told apart by so many colours; then they repeat. */
export const OWNER_COLORS = 6;

export interface LaneColors {
  /** By the file's number in its lane. */
  readonly owners: readonly Paint[];
  readonly unknown: Paint;
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly overlap: string;
  readonly wrong: string;
  readonly focus: string;
  readonly background: string;
  readonly font: string;
}

export interface Paint {
  readonly fill: string;
  readonly edge: string;
}

export function readLaneColors(inside: HTMLElement): LaneColors {
  const probe = el('span', { attributes: { 'aria-hidden': 'true' } });
  inside.append(probe);
  const style = getComputedStyle(probe);
  const color = (name: string): string => {
    probe.style.color = `var(${name})`;
    return style.color;
  };
  const paint = (name: string): Paint => ({ fill: color(`${name}-fill`), edge: color(name) });
  const colors: LaneColors = {
    owners: Array.from({ length: OWNER_COLORS }, (_, owner) => paint(`--lane-${owner}`)),
    unknown: paint('--lane-unknown'),
    text: color('--fg'),
    muted: color('--muted'),
    line: color('--lane-line'),
    overlap: color('--lane-overlap'),
    wrong: color('--sev-data'),
    focus: color('--focus'),
    background: color('--bg'),
    font: style.fontFamily,
  };
  probe.remove();
  return colors;
}

export function ownerPaint(colors: LaneColors, owner: number | null): Paint {
  return owner === null
    ? colors.unknown
    : (colors.owners[owner % colors.owners.length] ?? colors.unknown);
}
