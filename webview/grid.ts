/**
 * The map itself: a scroll area as high as all rows, in which the rows of the window stand, and the
 * edges below them. The keyboard moves a cursor; the screen reader hears the row that it is on.
 */

import type { MapRow, MapWindow } from '../daemon/protocol/map';
import { el, setAttribute } from './dom';
import type { Columns } from './edges';
import { edgesOf } from './edges';
import type { Lit } from './links';
import { links } from './links';
import type { DrawnRow } from './rows';
import { drawRows, rowElementId, rowKey } from './rows';
import type { ScrollArea } from './scroll';
import {
  isScaled,
  lastTop,
  scrollOfTop,
  spacerHeight,
  topOfScroll,
  topToShow,
  windowOf,
} from './scroll';

export const ROW_HEIGHT = 30;
/** Rows asked for above and below those in sight, so that a short scroll shows no gap. */
const MARGIN = 16;

export interface GridActions {
  /** The rows in sight are others now. */
  moved(): void;
  /** Something is to be drawn. */
  dirty(): void;
  open(nodeid: string): void;
  toggle(directory: string): void;
  reveal(nodeid: string): void;
}

export interface GridView {
  readonly window: MapWindow | undefined;
  readonly selected: string | null;
  readonly lit: Lit;
  /** Refusals of the newest lookup by node id. */
  readonly refusals: ReadonlyMap<string, string>;
  readonly answered: string | null;
}

interface Cursor {
  index: number;
  /** Undefined while the row is not loaded yet. */
  key: string | undefined;
}

/** Positions of rows are given relative to every so many rows, so that they stay small numbers. */
const ANCHOR_ROWS = 10_000;

export class Grid {
  readonly element: HTMLElement;
  readonly #spacer = el('div', { class: 'spacer' });
  readonly #layer = el('div', { class: 'layer' });
  readonly #body = el('div', { class: 'body', attributes: { role: 'rowgroup' } });
  readonly #links = links();
  readonly #head: HTMLElement;
  readonly #heads: readonly HTMLElement[];

  #window: MapWindow | undefined;
  #top: number;
  /** On the first row until somebody moves it; then with its row, wherever that goes. */
  #cursor: Cursor = { index: 0, key: undefined };
  #cursorMoved = false;
  /** The columns are others than at the last drawing; edges then jump with them. */
  #columnsMoved = true;
  #columns: Columns = { idsEnd: 0, entryStart: 0, entryEnd: 0, handleStart: 0 };
  #viewport = 0;
  #anchor = 0;
  /** The scroll position that the page itself set, whose event says nothing new. */
  #ownScroll: number | undefined;

  constructor(
    top: number,
    private readonly actions: GridActions,
  ) {
    this.#top = top;
    const ids = headCell('ids', 'inodes_by_ids', 'by_ids', 'ino / dev / mount');
    const entries = headCell('entry-cell', 'entries', '', 'node id · kind · path');
    const handles = headCell(
      'handle',
      'inodes_by_handle',
      'by_handle',
      'mount · ',
      el('span', { class: 'handle-type', text: 'type · ' }),
      'bytes',
    );
    this.#heads = [ids, entries, handles];
    this.#head = el(
      'div',
      { class: 'head', attributes: { role: 'rowgroup' } },
      el(
        'div',
        { class: 'head-row', attributes: { role: 'row', 'aria-rowindex': '1' } },
        ids,
        entries,
        handles,
      ),
    );
    this.#layer.append(this.#links.element, this.#body);
    this.#spacer.append(this.#layer);
    this.element = el(
      'div',
      {
        class: 'grid',
        data: { testid: 'grid' },
        attributes: {
          role: 'treegrid',
          tabindex: '0',
          'aria-label': 'Key Map: keys of inodes_by_ids, entries, keys of inodes_by_handle',
          'aria-colcount': '3',
        },
      },
      this.#head,
      this.#spacer,
    );
    this.element.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.element.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    this.element.addEventListener('click', (event) => this.#clicked(event));
    new ResizeObserver(() => this.#resized()).observe(this.element);
  }

  get top(): number {
    return this.#top;
  }

  /** The window to ask for. */
  wanted(most: number): { readonly offset: number; readonly count: number } {
    return windowOf(this.#area(), this.#top, MARGIN, most);
  }

  /** True when rows in sight, or soon in sight, are not in the window. */
  needsRows(): boolean {
    const loaded = this.#window;
    if (loaded === undefined) return true;
    const first = Math.max(0, Math.floor(this.#top / ROW_HEIGHT) - MARGIN / 2);
    const end = Math.ceil((this.#top + this.#viewport) / ROW_HEIGHT) + MARGIN / 2;
    const last = Math.min(loaded.total, end);
    return first < loaded.offset || last > loaded.offset + loaded.rows.length;
  }

  /** The row under the cursor, when it is loaded. */
  cursorRow(): MapRow | undefined {
    return this.#rowAt(this.#cursor.index);
  }

  rowOf(nodeid: string): MapRow | undefined {
    return this.#window?.rows.find((row) => row.row === 'entry' && row.entry.nodeid === nodeid);
  }

  /** Takes a new window; the cursor stays with its row. */
  setWindow(window: MapWindow): void {
    this.#window = window;
    const { key } = this.#cursor;
    const at = key === undefined ? -1 : window.rows.findIndex((row) => rowKey(row) === key);
    if (at !== -1) this.#cursor.index = window.offset + at;
    else this.#cursor.index = Math.max(0, Math.min(this.#cursor.index, window.total - 1));
    const row = this.#rowAt(this.#cursor.index);
    if (row !== undefined && this.#cursorMoved) this.#cursor.key = rowKey(row);
    this.#setTop(this.#top);
  }

  /** Moves the cursor to a row, brings it into sight, in the middle when it is far. */
  moveTo(index: number): void {
    const total = this.#window?.total ?? 0;
    if (total === 0) return;
    const target = Math.max(0, Math.min(index, total - 1));
    const row = this.#rowAt(target);
    this.#cursor = { index: target, key: row === undefined ? undefined : rowKey(row) };
    this.#cursorMoved = true;
    const area = this.#area();
    const start = target * ROW_HEIGHT;
    const far = start < this.#top - this.#viewport || start > this.#top + 2 * this.#viewport;
    this.#setTop(
      far ? start - (this.#viewport - ROW_HEIGHT) / 2 : topToShow(area, this.#top, target),
    );
    // At once: a scroll event that is still on its way would lead back to where it was sent.
    this.#alignScrollBar(area);
    this.actions.moved();
    this.actions.dirty();
  }

  moveBy(rows: number): void {
    this.moveTo(this.#cursor.index + rows);
  }

  /** The row that the cursor stands on; -1 while nobody has moved it. */
  get cursor(): number {
    return this.#cursorMoved ? this.#cursor.index : -1;
  }

  get pageRows(): number {
    return Math.max(1, Math.floor(this.#viewport / ROW_HEIGHT) - 1);
  }

  /** To the beginning: another query has other rows. */
  reset(): void {
    this.#cursor = { index: 0, key: undefined };
    this.#cursorMoved = false;
    this.#setTop(0);
  }

  draw(view: GridView): void {
    const { window } = view;
    const area = this.#area();
    this.#spacer.style.height = `${spacerHeight(area)}px`;
    this.#alignScrollBar(area);
    setAttribute(this.element, 'aria-rowcount', String((window?.total ?? 0) + 1));
    const offset = window?.offset ?? 0;
    const anchor = Math.floor(offset / ANCHOR_ROWS) * ANCHOR_ROWS;
    const still = anchor !== this.#anchor || this.#columnsMoved;
    this.#columnsMoved = false;
    this.#anchor = anchor;
    this.#layer.classList.toggle('still', still);
    this.#placeLayer(area);

    const rows = this.#drawnRows(view);
    drawRows(this.#body, rows);
    const edges = edgesOf(
      rows.map((drawn) => drawn.row),
      this.#columns,
      ROW_HEIGHT,
      (offset - anchor) * ROW_HEIGHT,
    );
    this.#links.draw(edges, this.#columns, view.lit, still || motionIsReduced());

    const cursor = rows.find((drawn) => drawn.cursor);
    if (cursor === undefined) this.element.removeAttribute('aria-activedescendant');
    else setAttribute(this.element, 'aria-activedescendant', rowElementId(cursor.key));
  }

  #drawnRows(view: GridView): DrawnRow[] {
    const { window } = view;
    if (window === undefined) return [];
    const idsOf = (row: MapRow | undefined): string | undefined =>
      row?.row === 'entry' && row.attention
        ? `${row.entry.ids.ino} ${row.entry.ids.dev} ${row.entry.ids.mntId}`
        : undefined;
    return window.rows.map((row, at) => {
      const index = window.offset + at;
      const nodeid = row.row === 'entry' ? row.entry.nodeid : undefined;
      const ids = idsOf(row);
      return {
        key: rowKey(row),
        index,
        row,
        y: (index - this.#anchor) * ROW_HEIGHT,
        cursor: index === this.#cursor.index,
        selected: nodeid !== undefined && nodeid === view.selected,
        refusal: nodeid === undefined ? undefined : view.refusals.get(nodeid),
        answered: nodeid !== undefined && nodeid === view.answered,
        afterAttention: window.attention > 0 && index === window.attention,
        sameIds: ids !== undefined && ids === idsOf(window.rows[at - 1]),
      };
    });
  }

  #rowAt(index: number): MapRow | undefined {
    const window = this.#window;
    return window?.rows[index - window.offset];
  }

  #area(): ScrollArea {
    return { rowHeight: ROW_HEIGHT, rows: this.#window?.total ?? 0, viewport: this.#viewport };
  }

  #setTop(top: number): void {
    // Before the first window the saved position must not be cut to an empty map.
    if (this.#window === undefined) return;
    this.#top = Math.max(0, Math.min(top, lastTop(this.#area())));
  }

  #alignScrollBar(area: ScrollArea): void {
    if (this.#window === undefined) return;
    const wanted = scrollOfTop(area, this.#top);
    if (Math.abs(this.element.scrollTop - wanted) < 1) return;
    this.element.scrollTop = wanted;
    this.#ownScroll = this.element.scrollTop;
  }

  #placeLayer(area: ScrollArea): void {
    const shift = isScaled(area) ? scrollOfTop(area, this.#top) - this.#top : 0;
    this.#layer.style.transform = `translateY(${this.#anchor * ROW_HEIGHT + shift}px)`;
  }

  #scrolled(): void {
    const { scrollTop } = this.element;
    const own = this.#ownScroll;
    this.#ownScroll = undefined;
    if (own !== undefined && Math.abs(own - scrollTop) < 1) return;
    const area = this.#area();
    if (Math.abs(scrollOfTop(area, this.#top) - scrollTop) < 1) return;
    this.#setTop(topOfScroll(area, scrollTop));
    this.actions.moved();
    this.actions.dirty();
  }

  /** Where the scroll bar is scaled, a turn of the wheel still moves by pixels of rows. */
  #wheel(event: WheelEvent): void {
    const area = this.#area();
    if (!isScaled(area) || event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    const unit =
      event.deltaMode === WheelEvent.DOM_DELTA_LINE
        ? ROW_HEIGHT
        : event.deltaMode === WheelEvent.DOM_DELTA_PAGE
          ? this.#viewport
          : 1;
    this.#setTop(this.#top + event.deltaY * unit);
    this.actions.moved();
    this.actions.dirty();
  }

  #clicked(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target : undefined;
    const row = target?.closest<HTMLElement>('[role="row"][id]');
    if (target === undefined || row === null || row === undefined) return;
    const owner = target.closest<HTMLElement>('[data-reveal]')?.dataset['reveal'];
    if (owner !== undefined) {
      this.actions.reveal(owner);
      return;
    }
    // A click that ends a text selection is no choice of a row.
    if (getSelection()?.type === 'Range') return;
    const index = Number(row.getAttribute('aria-rowindex')) - 2;
    this.moveTo(index);
    const { node, directory } = row.dataset;
    if (node !== undefined) this.actions.open(node);
    else if (directory !== undefined) this.actions.toggle(directory);
  }

  #resized(): void {
    const origin = this.element.getBoundingClientRect().left;
    const [ids, entries, handles] = this.#heads.map((head) => head.getBoundingClientRect());
    if (ids === undefined || entries === undefined || handles === undefined) return;
    this.#columnsMoved = true;
    this.#columns = {
      idsEnd: Math.round(ids.right - origin),
      entryStart: Math.round(entries.left - origin),
      entryEnd: Math.round(entries.right - origin),
      handleStart: Math.round(handles.left - origin),
    };
    this.#viewport = Math.max(0, this.element.clientHeight - this.#head.offsetHeight);
    this.actions.moved();
    this.actions.dirty();
  }
}

function headCell(
  name: string,
  title: string,
  alias: string,
  ...parts: readonly (Node | string)[]
): HTMLElement {
  const cell = el('div', { class: `cell ${name}`, attributes: { role: 'columnheader' } });
  const first = el('div', { class: 'head-title', text: title });
  if (alias !== '') first.append(el('span', { class: 'head-alias', text: alias }));
  cell.append(first, el('div', { class: 'head-parts' }, ...parts));
  return cell;
}

/** The system's wish, or VS Code's setting. */
export function motionIsReduced(): boolean {
  return (
    // eslint-disable-next-line no-restricted-syntax -- a class of VS Code's body, no widget
    document.body.classList.contains('vscode-reduce-motion') ||
    matchMedia('(prefers-reduced-motion: reduce)').matches
  );
}
