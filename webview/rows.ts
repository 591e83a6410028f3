/** The rows of the window as HTML: selectable text, one element a cell. */

import { select } from 'd3';
import type { HandleJson } from '../daemon/protocol/json';
import type { EntryRow, KeyState, MapRow } from '../daemon/protocol/map';
import { el } from './dom';
import { severityGlyph } from './glyphs';
import {
  countText,
  handleBytes,
  handleText,
  idsText,
  KINDS,
  keyNote,
  keySentence,
  pathText,
  plural,
  rowSentence,
  SEVERITY_COST,
} from './words';

/** A row that is drawn: what the daemon said, and what the page adds. */
export interface DrawnRow {
  readonly key: string;
  /** In the whole map, from 0. */
  readonly index: number;
  readonly row: MapRow;
  /** In pixels, within the layer. */
  readonly y: number;
  readonly cursor: boolean;
  readonly selected: boolean;
  /** Why the newest lookup refused this entry; stands beside its crossed-out edge. */
  readonly refusal: string | undefined;
  /** This entry answered the newest lookup. */
  readonly answered: boolean;
  /** The first row below the attention part. */
  readonly afterAttention: boolean;
  /** Its key of inodes_by_ids is that of the row above. */
  readonly sameIds: boolean;
}

export function rowKey(row: MapRow): string {
  return row.row === 'entry' ? `n${row.entry.nodeid}` : `d${row.nodeid}`;
}

export function rowElementId(key: string): string {
  return `row-${key}`;
}

export function drawRows(body: HTMLElement, rows: readonly DrawnRow[]): void {
  select(body)
    .selectAll<HTMLDivElement, DrawnRow>('div.row')
    .data(rows, (drawn) => drawn.key)
    .join((enter) => enter.append('div').attr('role', 'row'))
    .attr('id', (drawn) => rowElementId(drawn.key))
    .attr('class', rowClass)
    .attr('data-node', (drawn) => (drawn.row.row === 'entry' ? drawn.row.entry.nodeid : null))
    .attr('data-directory', (drawn) => (drawn.row.row === 'directory' ? drawn.row.nodeid : null))
    // The header is row 1.
    .attr('aria-rowindex', (drawn) => drawn.index + 2)
    .attr('aria-level', 1)
    .attr('aria-selected', (drawn) => String(drawn.selected))
    .attr('aria-expanded', (drawn) =>
      drawn.row.row === 'directory' ? String(drawn.row.unfolded) : null,
    )
    .style('transform', (drawn) => `translateY(${drawn.y}px)`)
    .each(function (drawn) {
      const content = JSON.stringify([drawn.row, drawn.refusal]);
      if (contents.get(this) === content) return;
      contents.set(this, content);
      fillRow(this, drawn);
    });
}

/** What stands in a row's element, so that an unchanged row (and a selection in it) is left alone. */
const contents = new WeakMap<HTMLElement, string>();

function rowClass(drawn: DrawnRow): string {
  const classes = ['row', drawn.row.row];
  if (drawn.cursor) classes.push('cursor');
  if (drawn.selected) classes.push('selected');
  if (drawn.answered) classes.push('answered');
  if (drawn.refusal !== undefined) classes.push('refused');
  if (drawn.afterAttention) classes.push('after-attention');
  if (drawn.sameIds) classes.push('same-ids');
  if (drawn.row.row === 'entry') {
    if (drawn.row.fresh) classes.push('fresh');
    if (drawn.row.attention) classes.push('attention');
    const worst = drawn.row.hazards[0];
    if (worst !== undefined) classes.push(`worst-${worst.severity}`);
  }
  return classes.join(' ');
}

function fillRow(element: HTMLElement, drawn: DrawnRow): void {
  const { row } = drawn;
  if (row.row === 'directory') {
    const isRoot = row.path === '' || row.path === '.';
    const name = isRoot ? 'the shared directory' : row.path;
    const words = `${plural(row.healthy, 'healthy entry', 'healthy entries')} in ${name}`;
    element.setAttribute('aria-label', `${words}, ${row.unfolded ? 'unfolded' : 'folded'}`);
    element.replaceChildren(
      el(
        'div',
        { class: 'cell directory-cell', attributes: { role: 'gridcell', 'aria-colspan': '3' } },
        el('span', { class: 'twisty', attributes: { 'aria-hidden': 'true' } }),
        el('span', { class: 'count', text: countText(row.healthy) }),
        el('span', {
          class: 'muted',
          text: row.healthy === 1 ? 'healthy entry in' : 'healthy entries in',
        }),
        el('span', { class: isRoot ? 'muted' : 'path', text: name, title: name }),
      ),
    );
    return;
  }
  element.setAttribute('aria-label', rowSentence(row));
  element.replaceChildren(idsCell(row, drawn.refusal), entryCell(row), handleCell(row));
}

function idsCell(row: EntryRow, refusal: string | undefined): HTMLElement {
  const { ids } = row.entry;
  const cell = el('div', {
    class: `cell ids ${row.idsKey.state}`,
    title: `ino ${ids.ino}, device ${ids.dev}, mount ${ids.mntId}\n${keySentence('inodes_by_ids', row.idsKey)}`,
    attributes: { role: 'gridcell' },
  });
  if (refusal !== undefined) {
    cell.append(el('span', { class: 'refusal', text: refusal, title: refusal }));
    return cell;
  }
  if (row.idsKey.state !== 'owned')
    cell.append(el('span', { class: 'former-key', text: idsText(ids) }));
  else cell.append(el('span', { class: 'key', text: idsText(ids) }));
  appendNote(cell, row.idsKey);
  return cell;
}

function handleCell(row: EntryRow): HTMLElement {
  const { handle } = row.entry;
  const cell = el('div', {
    class: `cell handle ${row.handleKey.state}`,
    title:
      (handle === null ? '' : `${handleText(handle)}\n`) +
      keySentence('inodes_by_handle', row.handleKey),
    attributes: { role: 'gridcell' },
  });
  if (row.handleKey.state !== 'owned') appendNote(cell, row.handleKey);
  if (handle !== null && row.handleKey.state !== 'none') {
    cell.append(handleSpan(handle, row.handleKey.state === 'owned' ? 'key' : 'former-key'));
  }
  return cell;
}

/** `74 · 1 · 0c000000 22ea51a9`; when room is short the middle goes, the generation stays. */
function handleSpan(handle: HandleJson, className: string): HTMLElement {
  const { head, tail } = handleBytes(handle.bytes);
  return el(
    'span',
    { class: className },
    el('span', { class: 'handle-place', text: `${handle.mntId} · ` }),
    el('span', { class: 'handle-type', text: `${handle.type} · ` }),
    el('span', { class: 'handle-head', text: head }),
    el('span', { class: 'handle-tail', text: head === '' ? tail : ` ${tail}` }),
  );
}

function appendNote(cell: HTMLElement, key: KeyState): void {
  const note = keyNote(key);
  if (note === undefined) return;
  const span = el('span', { class: `note ${key.state}`, text: note });
  if (key.state === 'stolen') {
    span.dataset['reveal'] = key.owner;
    span.title = `Go to node ${key.owner}`;
  }
  cell.append(span);
}

function entryCell(row: EntryRow): HTMLElement {
  const { entry } = row;
  const path = pathText(entry);
  const slash = entry.path === null ? -1 : path.lastIndexOf('/');
  const card = el('div', { class: `card ${entry.kind}` });
  card.append(
    el('span', { class: 'nodeid', text: entry.nodeid, title: `node id ${entry.nodeid}` }),
    el('span', {
      class: `kind ${entry.kind}`,
      text: KINDS[entry.kind].chip,
      title: KINDS[entry.kind].holds,
      attributes: { role: 'img', 'aria-label': KINDS[entry.kind].holds },
    }),
    el(
      'span',
      { class: 'path', title: path },
      el('span', { class: 'folder', text: path.slice(0, slash + 1) }),
      el('span', { class: entry.path === null ? 'unnamed' : 'name', text: path.slice(slash + 1) }),
    ),
  );
  if (row.probeErrno !== null) {
    card.append(
      el('span', {
        class: 'probe',
        text: `† ${row.probeErrno}`,
        title: `The last probe of what this entry holds failed with ${row.probeErrno}`,
      }),
    );
  }
  if (entry.kind === 'file' && entry.fd !== null) {
    card.append(
      el('span', { class: 'fd', text: `fd ${entry.fd}`, title: `O_PATH descriptor ${entry.fd}` }),
    );
  }
  if (row.hazards.length > 0) card.append(badges(row));
  return el('div', { class: 'cell entry-cell', attributes: { role: 'gridcell' } }, card);
}

/** The worst hazard with its name, as far as there is room; the others by id. */
function badges(row: EntryRow): HTMLElement {
  const list = el('span', { class: 'badges' });
  row.hazards.forEach((hazard, index) => {
    const badge = el(
      'span',
      {
        class: `badge ${hazard.severity}`,
        title: `${hazard.id} ${hazard.name}\nseverity ${hazard.severity}: ${SEVERITY_COST[hazard.severity]}`,
      },
      severityGlyph(hazard.severity),
      el('span', { class: 'badge-id', text: hazard.id }),
    );
    if (index === 0) badge.append(el('span', { class: 'badge-name', text: hazard.name }));
    list.append(badge);
  });
  return list;
}
