/** Severities as shapes, so that they are told apart without colour. */

import type { Severity } from '../daemon/hazards/hazard';
import { svg } from './dom';

/** Paths in a box of 12 by 12. */
const SHAPES: { readonly [S in Severity]: string } = {
  // An octagon, a triangle, a diamond, a square, a ring.
  data: 'M4 .5h4L11.5 4v4L8 11.5H4L.5 8V4z',
  error: 'M6 .8 11.6 11H.4z',
  identity: 'M6 .4 11.6 6 6 11.6.4 6z',
  resource: 'M1.2 1.2h9.6v9.6H1.2z',
  information: 'M6 1.2a4.8 4.8 0 1 1 0 9.6a4.8 4.8 0 1 1 0-9.6z',
};

export function severityGlyph(severity: Severity): SVGSVGElement {
  return svg(
    'svg',
    { class: `severity ${severity}`, viewBox: '0 0 12 12', 'aria-hidden': 'true' },
    svg('path', { d: SHAPES[severity] }),
  );
}

/** Two keys that lead to one entry: the product's mark. */
export function mark(): SVGSVGElement {
  return svg(
    'svg',
    { class: 'mark', viewBox: '0 0 48 16', 'aria-hidden': 'true' },
    svg('path', { class: 'mark-edge', d: 'M6 8h10M42 8H32' }),
    svg('circle', { class: 'mark-key', cx: '5', cy: '8', r: '3.2' }),
    svg('circle', { class: 'mark-key', cx: '43', cy: '8', r: '3.2' }),
    svg('rect', { class: 'mark-entry', x: '17', y: '2', width: '14', height: '12', rx: '3' }),
  );
}

export function copyGlyph(): SVGSVGElement {
  return svg(
    'svg',
    { class: 'copy-glyph', viewBox: '0 0 14 14', 'aria-hidden': 'true' },
    svg('path', { d: 'M4.5 4.5V1.5h8v8h-3M1.5 4.5h8v8h-8z' }),
  );
}
