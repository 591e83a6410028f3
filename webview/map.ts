/** The Key Map's page: puts the parts together, keeps what they share, draws once a frame. */

import { InspectorError } from '../daemon/protocol/client';
import type { StopPlace } from '../daemon/protocol/hostMessages';
import type { BudgetJson } from '../daemon/protocol/budget';
import type { LanesWindow } from '../daemon/protocol/lanes';
import type { MapRequest, MapRow, MapWindow, Status } from '../daemon/protocol/map';
import { MAX_WINDOW_ROWS } from '../daemon/protocol/map';
import { RPC_ERRORS } from '../daemon/protocol/rpc';
import type { EntryDetail } from '../daemon/protocol/rpc';
import type { TourState } from '../daemon/protocol/tour';
import type { Target } from '../daemon/protocol/json';
import { budgetView } from './budgetView';
import { isPlainPage, openChannel } from './channel';
import type { DetailState, Explained } from './detail';
import { detailPanel } from './detail';
import { el } from './dom';
import { frameScheduler } from './frame';
import { Grid } from './grid';
import { header } from './header';
import { helpDialog } from './help';
import { LanesView } from './lanesView';
import { live } from './live';
import { lookupBand } from './lookupBand';
import { OverviewStrip } from './overview';
import { screens } from './screens';
import type { Phase } from './session';
import { Session } from './session';
import { splitter } from './splitter';
import type { ViewName } from './tabs';
import { tabs, VIEW_NAMES } from './tabs';
import { tourBand } from './tourBand';
import type { ViewState } from './viewState';
import { readViewState } from './viewState';
import { rowLine } from './words';

const SEARCH_DELAY_MS = 120;
const SAVE_DELAY_MS = 300;
/** The details are read again at most this often while the tables change. */
const DETAIL_MS = 500;
const MOST_UNFOLDED = 200;
const LEAST_PANEL = 160;

const body = document.body;
body.dataset['view'] = 'map';
body.dataset['state'] = 'connecting';

const channel = openChannel({
  text: (frame) => session.receiveText(frame),
  binary: (frame) => session.receiveBinary(frame),
  state: (state, message) => session.connection(state, message),
  reveal: (nodeid) => reveal(nodeid),
  stop: (at) => followStop(at),
});

const reportError = (error: unknown): void =>
  channel.report('error', error instanceof Error ? (error.stack ?? error.message) : String(error));
document.addEventListener('securitypolicyviolation', (event) => {
  channel.report(
    'error',
    `The content security policy refused ${event.blockedURI} (${event.violatedDirective}) at ${event.sourceFile}:${event.lineNumber}.`,
  );
});
window.addEventListener('error', (event) => reportError(event.error ?? event.message));
window.addEventListener('unhandledrejection', (event) => reportError(event.reason));

// --- what the parts share -----------------------------------------------------------------------

let view: ViewState = readViewState(channel.loadState());
let phase: Phase = { at: 'connecting', message: 'Waiting for the daemon.' };
let target: Target | undefined;
let mapWindow: MapWindow | undefined;
let status: Status | undefined;
let budget: BudgetJson | undefined;
let paused = false;
let pausedAt = 0n;
let newestSeq = 0n;
let detail: DetailState = { at: 'closed' };
let tour: TourState | null = null;
let explained: Explained = { at: 'asked' };
let detailReadAt = -Infinity;
let detailTimer: ReturnType<typeof setTimeout> | undefined;
/** The entry to scroll to, until the daemon has said where it stands. */
let revealing: string | undefined;
/** The next row with a hazard is beyond the window; look on when that is loaded. */
let seekingHazard: { readonly direction: 1 | -1; readonly again: boolean } | undefined;
/** The lanes asked for last. */
let askedLanes = '';
let searchTimer: ReturnType<typeof setTimeout> | undefined;
let saveTimer: ReturnType<typeof setTimeout> | undefined;

const frames = frameScheduler(draw, reportError);
const dirty = (): void => frames.request();

const session = new Session((text) => channel.send(text), {
  phase: phaseChanged,
  window: windowArrived,
  lanes: lanesArrived,
  budget(next) {
    if (paused && budget !== undefined) return;
    budget = next;
    dirty();
  },
  status: statusArrived,
  tourStep: (step) => {
    if (tour !== null) tourArrived({ ...tour, step });
  },
});

// --- the parts ----------------------------------------------------------------------------------

const notes = live();
const help = helpDialog();
const top = header({
  search(query) {
    clearTimeout(searchTimer);
    searchTimer = setTimeout(() => search(query), SEARCH_DELAY_MS);
  },
  searched: () => (view.view === 'lanes' ? lanes.focus() : grid.element.focus()),
  pause: togglePause,
  help: help.open,
});
const views = tabs(showView);
const guide = tourBand({ go: goToStep, reveal, explain: (hazard) => channel.explain(hazard) });
top.element.append(views.element, guide.element);
const band = lookupBand(dirty, reveal, explainLookup);
const grid = new Grid(view.top, {
  moved() {
    change({ top: grid.top });
    if (grid.needsRows()) watch();
  },
  dirty,
  open: select,
  toggle,
  reveal,
});
const lanes = new LanesView(view.lanes, {
  moved: watchLanes,
  changed: (saved) => change({ lanes: { ...saved, classes: [...saved.classes] } }),
  dirty,
  open: reveal,
  say: (text) => notes.say(text),
});
const budgets = budgetView(reveal);
const overview = new OverviewStrip(view.zoom, {
  cells: (from, to, cells) => session.overview(from, to, cells),
  choose(row) {
    session.nodeidOfRow(row).then((nodeid) => {
      if (nodeid === null) notes.say(`There is no entry in row ${row} (any more).`);
      else reveal(nodeid);
    }, askedInVain);
  },
  zoomed: (zoom) => change({ zoom }),
  dirty,
  failed: askedInVain,
});
const screen = screens({ again: () => channel.ready(), clearSearch: () => search('') });
const panel = detailPanel({
  close: closeDetail,
  copy,
  reveal,
  hazardPage: (hazard) => channel.explain(hazard),
  explain,
});
const border = splitter({
  size: () => (isPanelBelow() ? view.panel.height : view.panel.width),
  resize(size) {
    const most = (isPanelBelow() ? innerHeight : innerWidth) - 2 * LEAST_PANEL;
    const limited = Math.max(LEAST_PANEL, Math.min(size, most));
    change({
      panel: isPanelBelow()
        ? { ...view.panel, height: limited }
        : { ...view.panel, width: limited },
    });
    dirty();
  },
  isBelow: isPanelBelow,
});
const main = el(
  'div',
  {
    class: 'main',
    attributes: { id: 'view-map', role: 'tabpanel', 'aria-labelledby': 'tab-map' },
  },
  el(
    'div',
    { class: 'map' },
    el('div', { class: 'map-area' }, grid.element, screen.element),
    overview.element,
  ),
  border,
  panel.element,
);

document.documentElement.classList.toggle('plain', isPlainPage());
const page = el(
  'div',
  { class: 'page' },
  top.element,
  band.element,
  screen.banner,
  el('main', { class: 'views' }, main, lanes.element, budgets.element),
  notes.element,
);
document.getElementById('root')?.replaceChildren(page, help.element);
top.search.setValue(view.query);

new MutationObserver(() => {
  overview.repaint();
  lanes.repaint();
}).observe(body, {
  attributes: true,
  attributeFilter: ['class'],
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  // The toolkit reads the colours again when the body's class changes.
  body.classList.toggle('plain-scheme-changed');
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  overview.changed();
  refreshDetail();
  dirty();
});
document.addEventListener('keydown', pressed);
document.addEventListener('copy', (event) => {
  const row = grid.cursorRow();
  const inGrid = grid.element.contains(document.activeElement);
  if (!inGrid || getSelection()?.type === 'Range' || row?.row !== 'entry') return;
  event.clipboardData?.setData('text/plain', rowLine(row));
  event.preventDefault();
  notes.say(`Copied node ${row.entry.nodeid}.`);
});

dirty();
channel.ready();

// --- what arrives -------------------------------------------------------------------------------

function phaseChanged(next: Phase): void {
  phase = next;
  if (next.at === 'open') {
    target = next.target;
    newestSeq = 0n;
    // Versions of windows count from 1 again, and the tables may be others.
    mapWindow = mapWindow === undefined ? undefined : { ...mapWindow, version: 0 };
    watch();
    overview.reset();
    lanes.reset();
    watchViews();
    if (view.selected !== null) {
      readDetail(view.selected);
      explain();
    }
    if (target.kind === 'replay') session.tour().then(tourArrived, askedInVain);
  }
  dirty();
}

function windowArrived(next: MapWindow, asked: MapRequest | undefined): void {
  if (mapWindow !== undefined && next.version <= mapWindow.version) return;
  sawSeq(next.seq);
  if (paused && asked === undefined) {
    dirty();
    return;
  }
  const changed = next.seq !== mapWindow?.seq;
  mapWindow = next;
  grid.setWindow(next);
  if (!paused && target !== undefined) {
    band.offer(next.lastLookup, target.lookupRule, kindOf);
  }
  if (changed) {
    overview.changed();
    refreshDetail();
  }
  if (asked !== undefined) {
    if (asked.reveal !== undefined && asked.reveal === revealing) finishReveal(asked.reveal, next);
    finishHazardSearch();
  }
  if (grid.needsRows() && revealing === undefined) watch();
  dirty();
}

function lanesArrived(next: LanesWindow, asked: boolean): void {
  if (next.version <= lanes.version || (paused && !asked)) return;
  lanes.setWindow(next);
  watchLanes();
}

function statusArrived(next: Status): void {
  status = next;
  sawSeq(next.seq);
  notes.status(next);
  if (!paused) overview.changed();
  dirty();
}

/** The tour is at this step, and so are the tables. */
function tourArrived(state: TourState | null): void {
  const back = tour !== null && state !== null && state.step < tour.step;
  tour = state;
  guide.show(state);
  if (back) {
    band.clear();
    newestSeq = 0n;
  }
  const [nodeid] = state?.steps[state.step]?.nodeids ?? [];
  if (nodeid !== undefined) {
    // Where the details would cover the map that the step is about, they come when asked for.
    if (isPanelBelow() && view.selected === null) scrollToEntry(nodeid);
    else bringIntoSight(nodeid);
  } else if (state !== null) {
    change({ selected: null });
    detail = { at: 'closed' };
  }
  dirty();
}

function goToStep(step: number): void {
  session.goTo(step).then(tourArrived, askedInVain);
}

function sawSeq(seq: string): void {
  const value = BigInt(seq);
  if (value > newestSeq) newestSeq = value;
}

function kindOf(nodeid: string): 'file' | 'handle' | 'invalid' | undefined {
  const row = grid.rowOf(nodeid);
  return row?.row === 'entry' ? row.entry.kind : undefined;
}

// --- what is asked ------------------------------------------------------------------------------

function watch(): void {
  session.watch({
    ...grid.wanted(MAX_WINDOW_ROWS),
    query: view.query,
    unfolded: view.unfolded,
    ...(revealing === undefined ? {} : { reveal: revealing }),
  });
}

/** Asks for the lanes in sight, when they are looked at. */
function watchLanes(): void {
  if (view.view !== 'lanes') session.watchLanes(null);
  else if (wantedLanes() !== askedLanes) {
    askedLanes = wantedLanes();
    session.watchLanes(lanes.wanted(view.query));
  }
}

function wantedLanes(): string {
  return JSON.stringify(lanes.wanted(view.query));
}

/** Shows another view; what the others show stays as it is. */
function showView(next: ViewName): void {
  change({ view: next });
  // Who stopped looking is a new viewer to the daemon, and versions count from 1 again.
  lanes.reset();
  askedLanes = '';
  watchViews();
  dirty();
}

/** Has the daemon send what is looked at, and no more. */
function watchViews(): void {
  watchLanes();
  session.watchBudget(view.view === 'budget');
}

function search(query: string): void {
  clearTimeout(searchTimer);
  top.search.setValue(query);
  if (query.slice(0, 300) === view.query) return;
  change({ query: query.slice(0, 300), top: 0 });
  grid.reset();
  watch();
  lanes.toTop();
  dirty();
}

function toggle(directory: string): void {
  setUnfolded(directory, !view.unfolded.includes(directory));
  watch();
}

function setUnfolded(directory: string, unfold: boolean): void {
  const others = view.unfolded.filter((nodeid) => nodeid !== directory);
  change({ unfolded: unfold ? [...others, directory].slice(-MOST_UNFOLDED) : others });
}

/** Brings an entry into sight and shows its details. */
function reveal(nodeid: string): void {
  if (view.view !== 'map') showView('map');
  bringIntoSight(nodeid);
}

function bringIntoSight(nodeid: string): void {
  if (view.query !== '') {
    change({ query: '' });
    top.search.setValue('');
  }
  select(nodeid);
  scrollToEntry(nodeid);
}

function scrollToEntry(nodeid: string): void {
  revealing = nodeid;
  watch();
}

/** Lights the edge that a stopped request looks at, and brings its entry into sight. */
function followStop(at: StopPlace | null): void {
  band.hold(at);
  if (at?.nodeid != null) scrollToEntry(at.nodeid);
}

function finishReveal(nodeid: string, window: MapWindow): void {
  revealing = undefined;
  if (window.revealed === null) {
    notes.say(`Node ${nodeid} is not in the tables (any more).`);
    return;
  }
  // The daemon unfolded the entry's directory; the requests that follow have to say so too.
  const at = window.revealed - window.offset;
  const directories = window.rows.filter(
    (row, index) => index < at && row.row === 'directory' && row.unfolded,
  );
  const above = directories.at(-1);
  const row = window.rows[at];
  if (above?.row === 'directory') {
    if (!view.unfolded.includes(above.nodeid)) setUnfolded(above.nodeid, true);
  } else if (row?.row === 'entry' && !row.attention) unfoldParentOf(nodeid);
  grid.moveTo(window.revealed);
}

/** Where the directory's own row is out of the window, the entry's last lookup names it. */
function unfoldParentOf(nodeid: string): void {
  session.entry(nodeid).then(({ history }) => {
    for (const event of history) {
      if (event.type !== 'lookup' || !('parent' in event) || event.nodeid !== nodeid) continue;
      const parent = event.parent;
      if (!view.unfolded.includes(parent)) setUnfolded(parent, true);
      return;
    }
  }, askedInVain);
}

// --- details ------------------------------------------------------------------------------------

function select(nodeid: string): void {
  change({ selected: nodeid });
  readDetail(nodeid);
  explain();
  dirty();
}

function closeDetail(): void {
  change({ selected: null });
  detail = { at: 'closed' };
  grid.element.focus();
  dirty();
}

function readDetail(nodeid: string): void {
  const before =
    detail.at === 'shown' && detail.detail.row.entry.nodeid === nodeid ? detail : undefined;
  if (before === undefined) detail = { at: 'loading', nodeid };
  if (!session.isOpen) return;
  detailReadAt = performance.now();
  const settle = (next: DetailState): void => {
    if (view.selected !== nodeid) return;
    detail = next;
    dirty();
  };
  session.entry(nodeid).then(
    (read: EntryDetail) => settle({ at: 'shown', detail: read }),
    (error: unknown) => {
      if (error instanceof InspectorError && error.code === RPC_ERRORS.unknownEntry) {
        settle({ at: 'gone', nodeid, detail: before?.detail });
      } else askedInVain(error);
    },
  );
}

/** Shows how a lookup was decided. */
function explainLookup(seq: string): void {
  change({ selected: null });
  detail = { at: 'lookup', seq };
  explain();
  dirty();
}

/** Asks «why?» about what is shown: once, and not with every change, for the daemon has to search. */
function explain(): void {
  const about =
    detail.at === 'lookup'
      ? { seq: detail.seq }
      : view.selected === null
        ? null
        : { nodeid: view.selected };
  if (about === null || !session.isOpen) return;
  const asked: Explained = { at: 'asked' };
  explained = asked;
  const settle = (next: Explained): void => {
    // Unless something else is shown by now.
    if (explained !== asked) return;
    explained = next;
    dirty();
  };
  session.why(about).then(
    (why) => settle({ at: 'answered', why }),
    (error: unknown) => {
      const code = error instanceof InspectorError ? error.code : undefined;
      if (code === RPC_ERRORS.unknownMethod) settle({ at: 'never' });
      else if (error instanceof InspectorError && code === RPC_ERRORS.unknownEntry) {
        settle({ at: 'refused', sentence: error.message });
      } else askedInVain(error);
    },
  );
}

function refreshDetail(): void {
  const nodeid = view.selected;
  if (nodeid === null || detail.at !== 'shown' || paused || document.hidden) return;
  const wait = detailReadAt + DETAIL_MS - performance.now();
  if (wait <= 0) readDetail(nodeid);
  else {
    detailTimer ??= setTimeout(() => {
      detailTimer = undefined;
      refreshDetail();
    }, wait);
  }
}

/** A question without an answer; when the connection ended, the page says so anyway. */
function askedInVain(error: unknown): void {
  if (error instanceof InspectorError && error.code === 0) return;
  notes.say(error instanceof Error ? error.message : String(error));
  reportError(error);
}

// --- commands -----------------------------------------------------------------------------------

function togglePause(): void {
  paused = !paused;
  pausedAt = newestSeq;
  if (!paused) {
    watch();
    askedLanes = '';
    watchLanes();
    overview.changed();
  }
  notes.say(
    paused ? 'This view is paused. The daemon goes on.' : 'This view follows the daemon again.',
  );
  dirty();
}

function copy(text: string, what: string): void {
  navigator.clipboard.writeText(text).then(
    () => notes.say(`Copied ${what}.`),
    (error: unknown) => {
      notes.say(`The browser did not let the page copy ${what}. Select it and copy it by hand.`);
      reportError(error);
    },
  );
}

function copyRow(): void {
  const row = grid.cursorRow();
  if (row?.row === 'entry') copy(rowLine(row), `node ${row.entry.nodeid}`);
}

/** Goes to the next (1) or previous (-1) row with a hazard; past the last begins anew, once. */
function seekHazard(direction: 1 | -1, from = grid.cursor + direction, again = false): void {
  const window = mapWindow;
  if (window === undefined) return;
  const { attention, offset, rows, total } = window;
  // Without a query, hazards stand in the attention part, above everything else.
  const last = view.query === '' ? attention - 1 : total - 1;
  const hasHazard = (row: MapRow | undefined): boolean =>
    row?.row === 'entry' && row.hazards.length > 0;
  let index = direction === 1 ? from : Math.min(from, last);
  for (; index >= 0 && index <= last; index += direction) {
    if (index < offset || index >= offset + rows.length) {
      seekingHazard = { direction, again };
      grid.moveTo(index);
      watch();
      return;
    }
    if (hasHazard(rows[index - offset])) {
      grid.moveTo(index);
      return;
    }
  }
  if (!again) seekHazard(direction, direction === 1 ? 0 : last, true);
  else notes.say('No row has a hazard.');
}

function finishHazardSearch(): void {
  const seeking = seekingHazard;
  if (seeking === undefined) return;
  seekingHazard = undefined;
  const row = grid.cursorRow();
  if (row?.row === 'entry' && row.hazards.length > 0) return;
  seekHazard(seeking.direction, grid.cursor + seeking.direction, seeking.again);
}

function pressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || help.element.open) return;
  // Keys belong to the field or button that has the focus.
  const focus = event.composedPath()[0];
  if (focus instanceof HTMLInputElement) return;
  const inGrid = focus === grid.element;
  const handled = (inGrid && gridKey(event.key)) || pageKey(event.key);
  if (handled) event.preventDefault();
}

function gridKey(key: string): boolean {
  const row = grid.cursorRow();
  switch (key) {
    case 'ArrowDown':
      grid.moveBy(1);
      return true;
    case 'ArrowUp':
      grid.moveBy(-1);
      return true;
    case 'PageDown':
      grid.moveBy(grid.pageRows);
      return true;
    case 'PageUp':
      grid.moveBy(-grid.pageRows);
      return true;
    case 'Home':
      grid.moveTo(0);
      return true;
    case 'End':
      grid.moveTo(Infinity);
      return true;
    case 'Enter':
      if (row?.row === 'entry') select(row.entry.nodeid);
      else if (row !== undefined) toggle(row.nodeid);
      return true;
    case 'ArrowRight':
      if (row?.row === 'directory' && !row.unfolded) toggle(row.nodeid);
      return true;
    case 'ArrowLeft':
      if (row?.row === 'directory' && row.unfolded) toggle(row.nodeid);
      return true;
    default:
      return false;
  }
}

function pageKey(key: string): boolean {
  const shown = VIEW_NAMES[Number(key) - 1];
  if (shown !== undefined) {
    showView(shown);
    return true;
  }
  return (view.view === 'map' && mapKey(key)) || viewKey(key);
}

function mapKey(key: string): boolean {
  switch (key) {
    case 'h':
      seekHazard(1);
      return true;
    case 'H':
      seekHazard(-1);
      return true;
    case 'c':
      copyRow();
      return true;
    case 'l':
      band.togglePin();
      return true;
    case 'w':
      band.why();
      return true;
    case 'Escape':
      if (detail.at !== 'closed') closeDetail();
      else if (view.query !== '') search('');
      return true;
    default:
      return false;
  }
}

function viewKey(key: string): boolean {
  switch (key) {
    case '/':
      top.search.focus();
      return true;
    case 'n':
      guide.next();
      return tour !== null;
    case 'b':
      guide.back();
      return tour !== null;
    case 'p':
      togglePause();
      return true;
    case '?':
      help.open();
      return true;
    case 'Escape':
      if (view.query !== '') search('');
      return true;
    default:
      return false;
  }
}

// --- drawing ------------------------------------------------------------------------------------

function draw(): void {
  top.draw({ phase, target, status, paused, behind: paused ? newestSeq - pausedAt : 0n });
  views.draw(view.view);
  main.hidden = view.view !== 'map';
  lanes.element.hidden = view.view !== 'lanes';
  budgets.element.hidden = view.view !== 'budget';
  if (view.view === 'budget') budgets.draw(budget);
  if (view.view === 'lanes') {
    lanes.draw({
      live: phase.at === 'open' && !paused && target?.kind !== 'replay',
      query: view.query,
    });
  }
  band.draw();
  screen.draw(phase, mapWindow, target, view.query);
  main.classList.toggle('ended', phase.at !== 'open');
  // Where no handles were asked for, going by ids is the mode, not a fault.
  page.classList.toggle('mode-never', target?.inodeFileHandles.requested === 'never');
  main.classList.toggle('with-detail', detail.at !== 'closed');
  band.element.hidden =
    view.view !== 'map' ||
    mapWindow === undefined ||
    (phase.at !== 'open' && mapWindow.total === 0);
  main.style.setProperty('--panel-width', `${view.panel.width}px`);
  main.style.setProperty('--panel-height', `${view.panel.height}px`);
  border.hidden = detail.at === 'closed';
  if (view.view === 'map') drawMap();

  // For tests: what is on the screen, and since when.
  body.dataset['view'] = view.view;
  body.dataset['state'] = phase.at;
  if (phase.at !== 'connecting') body.dataset['ready'] = '1';
  if (mapWindow !== undefined) {
    body.dataset['seq'] = mapWindow.seq;
    body.dataset['total'] = String(mapWindow.total);
    body.dataset['offset'] = String(mapWindow.offset);
  }
  body.dataset['paused'] = paused ? '1' : '0';
  body.dataset['drawnAt'] = String(performance.timeOrigin + performance.now());
}

function drawMap(): void {
  panel.draw(detail, explained);
  grid.draw({
    window: mapWindow,
    selected: view.selected,
    lit: band.lit,
    refusals: band.refusals,
    answered: band.answered,
  });
  overview.draw();
}

function change(part: Partial<ViewState>): void {
  view = { ...view, ...part };
  saveTimer ??= setTimeout(() => {
    saveTimer = undefined;
    channel.saveState(view);
  }, SAVE_DELAY_MS);
}

function isPanelBelow(): boolean {
  return matchMedia('(max-width: 1040px)').matches;
}
