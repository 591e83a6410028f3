/** What is looked at, and its numbers. */

import { ui } from '#ui';
import { SEVERITIES } from '../daemon/hazards/hazard';
import type { Target } from '../daemon/protocol/json';
import { HIT_KINDS } from '../daemon/tables/hitKind';
import type { Status } from '../daemon/protocol/map';
import { el, setAttribute, setText } from './dom';
import { mark, severityGlyph } from './glyphs';
import type { Phase } from './session';
import { countText, HITS, KINDS, SEVERITY_COST } from './words';

export interface HeaderActions {
  readonly search: (query: string) => void;
  /** Enter in the search field: on to the rows. */
  readonly searched: () => void;
  readonly pause: () => void;
  readonly help: () => void;
}

export interface HeaderView {
  readonly phase: Phase;
  /** The last target seen; stays when the connection ends. */
  readonly target: Target | undefined;
  readonly status: Status | undefined;
  readonly paused: boolean;
  /** Events that the daemon reported since the view was paused. */
  readonly behind: bigint;
}

export interface Header {
  readonly element: HTMLElement;
  readonly search: { setValue(value: string): void; focus(): void };
  draw(view: HeaderView): void;
}

const ENTRY_KINDS = ['file', 'handle', 'invalid'] as const;

export function header(actions: HeaderActions): Header {
  const folder = el('span', { class: 'shared-folder' });
  const share = el('span', { class: 'shared-name' });
  const shared = el('h1', { class: 'shared' }, folder, share);
  const program = el('div', { class: 'program' });
  const source = el('span', { class: 'source', data: { testid: 'source' } });
  const live = el('span', { class: 'live', data: { testid: 'live' } });
  const field = ui.textField({
    testId: 'search',
    label: 'Search: a part of a path, ino 12, node 3, or handle 0c00…',
    placeholder: 'path, ino 12, node 3, handle 0c00…',
    onInput: actions.search,
  });
  field.element.classList.add('search');
  field.element.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') actions.searched();
    else if (event.key === 'Escape') {
      field.setValue('');
      actions.search('');
      actions.searched();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const pause = ui.button({
    testId: 'pause',
    text: 'Pause view',
    hint: 'Pause this view; the daemon goes on',
    appearance: 'secondary',
    onPress: actions.pause,
  });
  const help = ui.button({
    testId: 'help',
    text: 'Help',
    hint: 'Keys and legend',
    appearance: 'secondary',
    onPress: actions.help,
  });

  const mode = stat('File handles', 'mode');
  const entries = stat('Entries', 'entries');
  const kinds = ENTRY_KINDS.map((kind) => {
    const count = el('span', { class: 'number' });
    const item = el(
      'span',
      { class: 'kind-count', title: KINDS[kind].holds },
      el('span', {
        class: `kind ${kind}`,
        text: KINDS[kind].chip,
        attributes: { role: 'img', 'aria-label': KINDS[kind].holds },
      }),
      count,
    );
    return { kind, count, item };
  });
  const total = el('span', { class: 'number total' });
  entries.value.append(total, ...kinds.map(({ item }) => item));

  const descriptors = stat('Descriptors', 'fds');
  const used = el('span', { class: 'number' });
  const bar = el('span', { class: 'gauge-bar' });
  const gauge = el(
    'span',
    {
      class: 'gauge',
      attributes: { role: 'meter', 'aria-label': 'Open descriptors', 'aria-valuemin': '0' },
    },
    bar,
  );
  descriptors.value.append(used, gauge);

  const hazards = stat('Open hazards', 'hazards');
  const severities = SEVERITIES.map((severity) => {
    const count = el('span', { class: 'number' });
    const item = el(
      'span',
      { class: `hazard-count ${severity}`, data: { severity } },
      severityGlyph(severity),
      count,
      el('span', { class: 'hazard-word', text: severity === 'information' ? 'info' : severity }),
    );
    hazards.value.append(item);
    return { severity, count, item };
  });

  const lookups = stat('Lookups', 'lookups');
  const hits = HIT_KINDS.map((hit) => {
    const count = el('span', { class: 'number' });
    const item = el(
      'span',
      { class: `hit-count ${hit}`, title: `${HITS[hit].name}: ${HITS[hit].means}`, data: { hit } },
      el('span', { class: 'hit-word', text: HITS[hit].short }),
      count,
    );
    lookups.value.append(item);
    return { hit, count, item };
  });

  const stats = el(
    'div',
    { class: 'stats' },
    mode.element,
    entries.element,
    descriptors.element,
    hazards.element,
    lookups.element,
  );
  const element = el(
    'header',
    { class: 'header' },
    el(
      'div',
      { class: 'header-top' },
      mark(),
      el('div', { class: 'titles' }, shared, program),
      source,
      el('div', { class: 'search-box', attributes: { role: 'search' } }, field.element),
      live,
      pause.element,
      help.element,
    ),
    stats,
  );

  return {
    element,
    search: field,
    draw(view) {
      const { target, status } = view;
      const path = target?.sharedDir ?? 'virtiofsd Inspector';
      const slash = path.lastIndexOf('/') + 1;
      setText(folder, path.slice(0, slash));
      setText(share, path.slice(slash));
      shared.title = target?.sharedDir ?? '';
      setText(
        program,
        target === undefined ? '' : `${target.implementation} · ${target.transport}`,
      );
      program.title = program.textContent;
      drawSource(source, target);
      drawLive(live, view);
      pause.setText(
        view.paused ? 'Resume view' : 'Pause view',
        view.paused ? 'Follow the daemon again' : 'Pause this view; the daemon goes on',
      );
      pause.setPressed(view.paused);
      pause.element.classList.toggle('gone', view.phase.at !== 'open');
      drawMode(mode, target);
      stats.hidden = status === undefined;
      if (status === undefined) return;
      const { counters, open } = status;
      let all = 0n;
      for (const { kind, count, item } of kinds) {
        setText(count, countText(counters.entries[kind]));
        item.classList.toggle('zero', counters.entries[kind] === '0');
        all += BigInt(counters.entries[kind]);
      }
      setText(total, all.toLocaleString('en-US'));
      drawGauge(used, gauge, bar, counters.fds);
      for (const { severity, count, item } of severities) {
        setText(count, countText(open[severity]));
        item.classList.toggle('zero', open[severity] === 0);
        item.title = `${countText(open[severity])} open, severity ${severity}: ${SEVERITY_COST[severity]}`;
      }
      for (const { hit, count, item } of hits) {
        setText(count, countText(counters.lookups[hit]));
        item.classList.toggle('zero', counters.lookups[hit] === '0');
      }
    },
  };
}

interface Stat {
  readonly element: HTMLElement;
  readonly value: HTMLElement;
}

function stat(label: string, testId: string): Stat {
  const value = el('div', { class: 'stat-value' });
  const element = el(
    'div',
    { class: `stat ${testId}`, data: { testid: `stat-${testId}` } },
    el('div', { class: 'stat-label', text: label }),
    value,
  );
  return { element, value };
}

function drawMode({ element, value }: Stat, target: Target | undefined): void {
  if (target === undefined) {
    setText(value, '–');
    return;
  }
  const { requested, effective } = target.inodeFileHandles;
  setText(value, requested === effective ? effective : `${effective}, not ${requested}`);
  element.classList.toggle('differs', requested !== effective);
  element.title =
    requested === effective
      ? `Inode file handles: ${effective}`
      : `Inode file handles: ${requested} was asked for, but the daemon works with ${effective}`;
}

/** A foreign daemon is seen from outside; then the page says how much of it is known. */
function drawSource(element: HTMLElement, target: Target | undefined): void {
  const outside = target !== undefined && (target.kind !== 'serve' || !target.complete);
  element.hidden = !outside;
  if (!outside) return;
  const from = target.kind === 'replay' ? 'recording' : `observed: ${target.level}`;
  setText(element, target.complete ? from : `${from}, incomplete`);
  element.title = target.complete
    ? 'Every entry of the daemon is known.'
    : 'The daemon may have entries that could not be seen from outside.';
}

function drawLive(element: HTMLElement, view: HeaderView): void {
  const [state, text] = liveText(view);
  setText(element, text);
  setAttribute(element, 'data-live', state);
}

function liveText(view: HeaderView): readonly [state: string, text: string] {
  if (view.phase.at === 'connecting') return ['connecting', 'connecting'];
  if (view.phase.at === 'ended') return ['ended', 'ended'];
  if (!view.paused) return ['live', 'live'];
  return [
    'paused',
    view.behind === 0n
      ? 'view paused'
      : `view paused, ${view.behind.toLocaleString('en-US')} events behind`,
  ];
}

function drawGauge(
  used: HTMLElement,
  gauge: HTMLElement,
  bar: HTMLElement,
  fds: Status['counters']['fds'],
): void {
  const limit = Number(fds.limit);
  // 0: the source does not know the limit.
  gauge.hidden = limit === 0;
  setText(
    used,
    limit === 0 ? countText(fds.used) : `${countText(fds.used)} / ${countText(fds.limit)}`,
  );
  if (limit === 0) return;
  const share = Math.min(1, Number(fds.used) / limit);
  bar.style.transform = `scaleX(${share})`;
  // 80 % of the limit is where H23 begins (the catalogue, 3.1).
  gauge.classList.toggle('tight', share > 0.8);
  gauge.title = `${Math.round(share * 100)} % of the descriptors that the daemon may open`;
  setAttribute(gauge, 'aria-valuenow', fds.used);
  setAttribute(gauge, 'aria-valuemax', fds.limit);
  setAttribute(gauge, 'aria-valuetext', `${fds.used} of ${fds.limit}`);
}
