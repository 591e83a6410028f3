/** Everything that is known about one entry, each value to be copied. */

import { ui } from '#ui';
import type { EventJson, HazardJson, LookupJson } from '../daemon/protocol/json';
import type { EntryDetail } from '../daemon/protocol/rpc';
import type { WhyJson } from '../daemon/protocol/why';
import { el } from './dom';
import { explainLink } from './explainLink';
import { copyGlyph, severityGlyph } from './glyphs';
import { prose, whySections } from './why';
import {
  countText,
  errnoText,
  HITS,
  idsShort,
  keySentence,
  KINDS,
  modeText,
  pathText,
  SEVERITY_COST,
  timeText,
} from './words';

export type DetailState =
  | { readonly at: 'closed' }
  | { readonly at: 'loading'; readonly nodeid: string }
  | { readonly at: 'shown'; readonly detail: EntryDetail }
  /** Forgotten meanwhile: the last that was known, or nothing. */
  | { readonly at: 'gone'; readonly nodeid: string; readonly detail: EntryDetail | undefined }
  /** A lookup that is explained by itself. */
  | { readonly at: 'lookup'; readonly seq: string };

/** What the daemon says to «why?» about what is shown. */
export type Explained =
  | { readonly at: 'asked' }
  | { readonly at: 'answered'; readonly why: WhyJson }
  | { readonly at: 'refused'; readonly sentence: string }
  /** A daemon of a former version does not explain. */
  | { readonly at: 'never' };

export interface DetailActions {
  readonly close: () => void;
  readonly copy: (text: string, what: string) => void;
  readonly reveal: (nodeid: string) => void;
  /** Shows the page of a hazard, in VS Code. */
  readonly hazardPage: (hazard: string) => void;
  /** Asks «why?» anew. */
  readonly explain: () => void;
}

export interface DetailPanel {
  readonly element: HTMLElement;
  draw(state: DetailState, explained: Explained): void;
}

export function detailPanel(actions: DetailActions): DetailPanel {
  const heading = el('h2', { class: 'detail-title' });
  const close = ui.button({
    testId: 'detail-close',
    text: 'Close',
    hint: 'Close the details',
    appearance: 'secondary',
    onPress: actions.close,
  });
  const body = el('div', {
    class: 'detail-body',
    attributes: { tabindex: '0', role: 'group', 'aria-label': 'Details' },
  });
  const element = el(
    'section',
    {
      class: 'detail',
      data: { testid: 'detail' },
      attributes: { 'aria-label': 'Details of an entry' },
    },
    el('div', { class: 'detail-head' }, heading, close.element),
    body,
  );
  element.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : undefined;
    const copy = target?.closest<HTMLElement>('[data-copy]');
    const owner = target?.closest<HTMLElement>('[data-reveal]');
    if (target?.closest('[data-explain]') != null) {
      actions.explain();
    } else if (copy?.dataset['copy'] !== undefined) {
      actions.copy(copy.dataset['copy'], copy.dataset['what'] ?? 'value');
    } else if (owner?.dataset['reveal'] !== undefined) {
      actions.reveal(owner.dataset['reveal']);
    }
  });
  let drawn = '';
  // What is read and unfolded stays as it is while the rest is drawn anew.
  let why: { readonly of: Explained; readonly element: HTMLElement } | undefined;
  const whyOf = (explained: Explained): HTMLElement => {
    if (why?.of !== explained) why = { of: explained, element: whySection(explained) };
    return why.element;
  };
  const fill = (...content: readonly HTMLElement[]): void => {
    const focused = document.activeElement;
    const scrolled = body.scrollTop;
    body.replaceChildren(...content);
    body.scrollTop = scrolled;
    if (focused instanceof HTMLElement && body.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
  };

  return {
    element,
    draw(state, explained) {
      element.hidden = state.at === 'closed';
      const content = JSON.stringify([state, explained]);
      if (content === drawn) return;
      drawn = content;
      switch (state.at) {
        case 'closed':
          body.replaceChildren();
          return;
        case 'loading':
          heading.textContent = `node ${state.nodeid}`;
          body.replaceChildren(el('p', { class: 'muted', text: 'Reading …' }));
          return;
        case 'gone':
          heading.textContent = `node ${state.nodeid}`;
          body.replaceChildren(
            el('p', {
              class: 'gone-note',
              text: `Node ${state.nodeid} is not in the tables any more: it was forgotten.`,
            }),
            ...(state.detail === undefined
              ? [whyOf(explained)]
              : sections(state.detail, whyOf(explained), actions)),
          );
          return;
        case 'lookup':
          heading.textContent = `event ${state.seq}`;
          fill(
            ...(explained.at === 'answered' ? [lookupHead(explained.why)] : []),
            whyOf(explained),
          );
          return;
        case 'shown':
          heading.textContent = `node ${state.detail.row.entry.nodeid}`;
          heading.append(
            el('span', { class: 'detail-path', text: pathText(state.detail.row.entry) }),
          );
          fill(...sections(state.detail, whyOf(explained), actions));
          return;
      }
    },
  };
}

function sections(detail: EntryDetail, why: HTMLElement, actions: DetailActions): HTMLElement[] {
  const { row, hazards, history } = detail;
  return [
    ...(hazards.length === 0
      ? []
      : [
          section(
            'Hazards',
            ...hazards.map((hazard) => hazardCard(hazard, row.entry.nodeid, actions)),
          ),
        ]),
    section('Entry', values(entryValues(detail))),
    why,
    section(
      'Keys',
      el(
        'ul',
        { class: 'keys' },
        keyLine('inodes_by_ids', row.idsKey),
        keyLine('inodes_by_handle', row.handleKey),
      ),
    ),
    section(
      'History',
      history.length === 0
        ? el('p', { class: 'muted', text: 'The daemon keeps no event of this entry any more.' })
        : el('ol', { class: 'history' }, ...history.map(historyLine)),
    ),
  ];
}

function whySection(explained: Explained): HTMLElement {
  const whole = section('Why?');
  whole.classList.add('why');
  whole.dataset['testid'] = 'why';
  whole.dataset['state'] = explained.at;
  switch (explained.at) {
    case 'asked':
      whole.append(el('p', { class: 'muted', text: 'Asking …' }));
      break;
    case 'answered':
      whole.append(...whySections(explained.why), againButton());
      break;
    case 'refused':
      whole.append(el('p', { class: 'muted', text: explained.sentence }), againButton());
      break;
    case 'never':
      whole.hidden = true;
      break;
  }
  return whole;
}

function againButton(): HTMLElement {
  return el('button', {
    class: 'reveal why-again',
    text: 'Ask again',
    data: { explain: '1' },
    attributes: { type: 'button' },
  });
}

function lookupHead({ title, nodeid }: WhyJson): HTMLElement {
  return el(
    'p',
    { class: 'why-title' },
    el('strong', { text: title }),
    ...(nodeid === null ? [] : [revealButton(nodeid)]),
  );
}

function section(title: string, ...content: readonly HTMLElement[]): HTMLElement {
  return el('section', { class: 'detail-section' }, el('h3', { text: title }), ...content);
}

interface Value {
  readonly name: string;
  readonly text: string;
  /** What is copied, when it is not the text itself; undefined: nothing to copy. */
  readonly copy?: string | undefined;
  readonly mono?: boolean;
}

function entryValues({ row }: EntryDetail): Value[] {
  const { entry } = row;
  const { ids, handle } = entry;
  const list: Value[] = [
    { name: 'path', text: pathText(entry), copy: entry.path ?? undefined },
    { name: 'node id', text: entry.nodeid, copy: entry.nodeid, mono: true },
    { name: 'kind', text: KINDS[entry.kind].holds },
    { name: 'inode number', text: ids.ino, copy: ids.ino, mono: true },
    { name: 'device', text: ids.dev, copy: ids.dev, mono: true },
    { name: 'mount id', text: ids.mntId, copy: ids.mntId, mono: true },
  ];
  if (handle !== null) {
    list.push(
      { name: 'handle', text: handle.bytes, copy: handle.bytes, mono: true },
      { name: 'handle type', text: String(handle.type), mono: true },
      { name: 'handle mount', text: handle.mntId, mono: true },
    );
  }
  if (entry.generation !== null) {
    list.push({ name: 'generation', text: entry.generation, copy: entry.generation, mono: true });
  }
  list.push(
    { name: 'mode', text: modeText(entry.mode) },
    { name: 'lookup count', text: countText(entry.lookups), copy: entry.lookups },
  );
  if (entry.fd !== null) list.push({ name: 'descriptor', text: String(entry.fd), mono: true });
  if (row.probeErrno !== null) {
    list.push({ name: 'last probe', text: `† ${errnoText(row.probeErrno)}` });
  }
  return list;
}

function values(list: readonly Value[]): HTMLElement {
  return el(
    'dl',
    { class: 'values' },
    ...list.flatMap(({ name, text, copy, mono }) => {
      const value = el(
        'dd',
        { data: { value: name } },
        el('span', { class: mono ? 'mono' : '', text }),
      );
      if (copy !== undefined) value.append(copyButton(copy, name));
      return [el('dt', { text: name }), value];
    }),
  );
}

function copyButton(copy: string, what: string): HTMLElement {
  return el(
    'button',
    {
      class: 'copy',
      title: `Copy ${what}`,
      data: { copy, what },
      attributes: { type: 'button', 'aria-label': `Copy ${what}` },
    },
    copyGlyph(),
  );
}

function keyLine(table: string, key: EntryDetail['row']['idsKey']): HTMLElement {
  const line = el(
    'li',
    { class: `key-state ${key.state}` },
    el('span', { text: `${keySentence(table, key)}.` }),
  );
  const other = key.state === 'stolen' ? key.owner : key.state === 'lost' ? key.with : null;
  if (key.state === 'stolen' && other !== null) line.append(revealButton(other));
  return line;
}

function revealButton(nodeid: string): HTMLElement {
  return el('button', {
    class: 'reveal',
    text: `Go to node ${nodeid}`,
    data: { reveal: nodeid },
    attributes: { type: 'button' },
  });
}

function hazardCard(hazard: HazardJson, shown: string, actions: DetailActions): HTMLElement {
  const evidence = Object.entries(hazard.evidence).map(([name, value]) => ({
    // `oldGeneration` as words.
    name: name.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase(),
    text: value === null ? 'unknown' : String(value),
    mono: true,
  }));
  return el(
    'article',
    { class: `hazard-card ${hazard.severity}`, data: { hazard: hazard.id } },
    el(
      'div',
      { class: 'hazard-title' },
      severityGlyph(hazard.severity),
      el('strong', { text: `${hazard.id} ${hazard.name}` }),
    ),
    el('div', {
      class: 'muted',
      text: `severity ${hazard.severity}: ${SEVERITY_COST[hazard.severity]}${hazard.state === 'closed' ? ' · closed' : ''}`,
    }),
    prose(hazard.advice),
    ...(evidence.length === 0 ? [] : [values(evidence)]),
    el(
      'div',
      { class: 'hazard-nodes' },
      ...hazard.nodeids.filter((nodeid) => nodeid !== shown).map(revealButton),
      explainLink(hazard.id, `What is ${hazard.id}?`, actions.hazardPage),
      el('span', { class: 'muted', text: `event ${hazard.seq}` }),
    ),
  );
}

function historyLine(event: EventJson): HTMLElement {
  const line = el(
    'li',
    { class: `event ${event.type}` },
    el('time', { text: timeText(event.time), title: event.time }),
  );
  if (isLookup(event)) {
    line.append(
      el('span', { class: 'event-op', text: event.op }),
      el('span', {
        class: `hit-chip ${event.hit}`,
        text: HITS[event.hit].name,
        title: HITS[event.hit].means,
      }),
      el('span', { class: 'event-words', text: lookupWords(event) }),
    );
  } else {
    line.append(
      el('span', { class: 'event-op', text: event.type.replaceAll('_', ' ') }),
      el('span', { class: 'event-words', text: eventWords(event) }),
    );
  }
  return line;
}

function isLookup(event: EventJson): event is LookupJson {
  return event.type === 'lookup';
}

function lookupWords(event: LookupJson): string {
  const ids = event.ids === null ? '' : `, ids ${idsShort(event.ids)}`;
  const reply =
    event.errno !== null
      ? errnoText(event.errno)
      : event.nodeid === null
        ? ''
        : `node ${event.nodeid}`;
  return `“${event.name}” in node ${event.parent} → ${reply}${ids}`;
}

/** The fields of a small event, as the daemon names them. */
function eventWords(event: Exclude<EventJson, LookupJson>): string {
  const { seq: _seq, time: _time, type: _type, ...fields } = event;
  return Object.entries(fields)
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}
