/** Keys and legend. */

import { ui } from '#ui';
import { SEVERITIES } from '../daemon/hazards/hazard';
import { HIT_KINDS } from '../daemon/tables/hitKind';
import { el, svg } from './dom';
import { severityGlyph } from './glyphs';
import { HITS, KINDS, SEVERITY_COST } from './words';

const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ['1, 2, 3', 'Key Map, Number Lanes, Mounts and Budget'],
  ['↑ ↓', 'previous, next row'],
  ['Page Up, Page Down', 'a page of rows'],
  ['Home, End', 'first, last row'],
  ['Enter', 'details of the entry; fold or unfold a directory'],
  ['→ ←', 'unfold, fold a directory'],
  ['h, Shift+H', 'next, previous row with a hazard'],
  ['c', 'copy the row'],
  ['/', 'search'],
  ['p', 'pause this view; the daemon goes on'],
  ['l', 'pin the lookup shown'],
  ['+ − 0, Shift+→ ←', 'lanes: zoom the time in, out, all of it; move in time'],
  ['w', 'why that lookup was answered so'],
  ['n, b', 'on a tour: next step, step before'],
  ['Escape', 'close the details; leave the search'],
  ['?', 'this list'],
];

export function helpDialog(): { readonly element: HTMLDialogElement; readonly open: () => void } {
  const element = el('dialog', {
    class: 'help',
    data: { testid: 'help-dialog' },
    attributes: { 'aria-label': 'Keys and legend' },
  });
  const close = ui.button({
    testId: 'help-close',
    text: 'Close',
    hint: 'Close the list of keys',
    appearance: 'secondary',
    onPress: () => element.close(),
  });
  element.append(
    el('div', { class: 'help-head' }, el('h2', { text: 'Keys and legend' }), close.element),
    el(
      'div',
      { class: 'help-columns' },
      el(
        'section',
        {},
        el('h3', { text: 'Keys' }),
        pairs(KEYS.map(([keys, does]) => [el('kbd', { text: keys }), does])),
      ),
      el(
        'section',
        {},
        el('h3', { text: 'Edges' }),
        pairs([
          [edgeSample('owned'), 'the key leads to this entry'],
          [edgeSample('ghost'), 'the key led here, until another entry took it'],
          [edgeSample('lost'), 'the key was removed together with another entry'],
          [edgeSample('lit'), 'the newest lookup took this edge'],
          [edgeSample('refused'), 'the newest lookup refused this edge'],
        ]),
        el('h3', { text: 'Entries' }),
        pairs([
          ...(['handle', 'file', 'invalid'] as const).map(
            (kind) =>
              [
                el('span', { class: `kind ${kind}`, text: KINDS[kind].chip }),
                KINDS[kind].holds,
              ] as const,
          ),
          [el('span', { class: 'probe', text: '†' }), 'the last probe failed, with this errno'],
        ]),
      ),
      el(
        'section',
        {},
        el('h3', { text: 'Severity' }),
        pairs(
          SEVERITIES.map((severity) => [
            severityGlyph(severity),
            `${severity}: ${SEVERITY_COST[severity]}`,
          ]),
        ),
        el('h3', { text: 'Lookups' }),
        pairs(
          HIT_KINDS.map((hit) => [
            el('span', { class: `hit-chip ${hit}`, text: HITS[hit].name }),
            HITS[hit].means,
          ]),
        ),
      ),
    ),
  );
  return {
    element,
    open: () => {
      if (!element.open) element.showModal();
    },
  };
}

function pairs(rows: readonly (readonly [term: Element, words: string])[]): HTMLElement {
  return el(
    'dl',
    {},
    ...rows.flatMap(([term, words]) => [el('dt', {}, term), el('dd', { text: words })]),
  );
}

function edgeSample(kind: 'owned' | 'ghost' | 'lost' | 'lit' | 'refused'): SVGSVGElement {
  const sample = svg('svg', { class: 'links sample', viewBox: '0 0 56 14', 'aria-hidden': 'true' });
  if (kind === 'lost') {
    sample.append(svg('circle', { class: 'socket', cx: '6', cy: '7', r: '3.5' }));
    return sample;
  }
  const shape = kind === 'lit' ? 'owned lit' : kind === 'refused' ? 'owned refused' : kind;
  sample.append(svg('path', { class: `edge ${shape}`, d: 'M4 7H52' }));
  if (kind === 'refused')
    sample.append(svg('path', { class: 'cross', d: 'M23 2l10 10m0 -10l-10 10' }));
  return sample;
}
