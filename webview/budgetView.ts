/** Mounts and Budget: what the share costs its host, in plain tables. */

import { line, scaleLinear, select } from 'd3';
import type { BudgetJson, GrowthSampleJson } from '../daemon/protocol/budget';
import {
  bytesText,
  gaugeText,
  growthText,
  HANDLE_WORDS,
  pinnedText,
  refusedText,
  twinsText,
  zombiesText,
} from './budgetWords';
import { el, setAttribute, setText, svg } from './dom';
import { countText, plural } from './words';

export interface BudgetView {
  readonly element: HTMLElement;
  draw(budget: BudgetJson | undefined): void;
}

/** @param reveal shows an entry in the Key Map */
export function budgetView(reveal: (nodeid: string) => void): BudgetView {
  const waiting = el('p', { class: 'budget-note wide', text: 'Reading what the share costs.' });
  const descriptors = descriptorSection();
  const growth = growthSection();
  const mounts = table('Mounts in play', 'budget-mounts', [
    'mount id',
    'type',
    'where',
    'handles',
    '#files',
    '#handles',
    '#invalid',
    '#descriptors',
    'kept by',
    'twins',
    'unique mount id',
  ]);
  const zombies = table('Deleted files that entries keep', 'budget-zombies', [
    'directory',
    '#files',
    '#bytes',
  ]);
  const byEntries = table('Most entries', 'budget-entries', [
    'directory',
    '#entries',
    '#descriptors',
  ]);
  const byDescriptors = table('Most descriptors', 'budget-descriptors', [
    'directory',
    '#descriptors',
    '#entries',
  ]);
  const sections = [descriptors, growth, mounts, zombies, byEntries, byDescriptors];
  mounts.element.classList.add('wide');
  const element = el(
    'section',
    {
      class: 'budget',
      data: { testid: 'budget' },
      attributes: {
        id: 'view-budget',
        role: 'tabpanel',
        'aria-labelledby': 'tab-budget',
        tabindex: '0',
      },
    },
    waiting,
    ...sections.map((section) => section.element),
  );
  element.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const nodeid = target?.closest<HTMLElement>('[data-reveal]')?.dataset['reveal'];
    if (nodeid !== undefined) reveal(nodeid);
  });

  return {
    element,
    draw(budget) {
      waiting.hidden = budget !== undefined;
      for (const section of sections) section.element.hidden = budget === undefined;
      if (budget === undefined) return;
      descriptors.draw(budget.descriptors);
      growth.draw(budget.growth);
      mounts.draw(mountRows(budget), more(budget.moreMounts, 'mount', 'mounts'));
      const { directories } = budget.zombies;
      zombies.draw(
        directories.map(({ nodeid, path, count, bytes }) => ({
          key: nodeid ?? '?',
          cells: [
            directoryCell(nodeid, path),
            number(count),
            { text: bytesText(bytes), isCount: true },
          ],
        })),
        [
          zombiesText(budget.zombies),
          more(budget.zombies.moreDirectories, 'directory', 'directories'),
        ].join(' '),
      );
      const all = plural(budget.directories.total, 'directory', 'directories');
      byEntries.draw(
        budget.directories.byEntries.map((one) => ({
          key: one.nodeid,
          cells: [
            directoryCell(one.nodeid, one.path),
            number(one.entries),
            number(one.descriptors),
          ],
        })),
        `Of ${all}.`,
      );
      byDescriptors.draw(
        budget.directories.byDescriptors.map((one) => ({
          key: one.nodeid,
          cells: [
            directoryCell(one.nodeid, one.path),
            number(one.descriptors),
            number(one.entries),
          ],
        })),
        budget.directories.byDescriptors.length === 0
          ? 'No entry holds a descriptor.'
          : `Of ${all}.`,
      );
      element.dataset['seq'] = budget.seq;
    },
  };
}

function mountRows(budget: BudgetJson): TableRow[] {
  return budget.mounts.map((mount) => {
    const { mntId, mntIdUnique, fsType, point, mounted, handles, refused, entries } = mount;
    const place = point ?? 'unknown';
    return {
      key: mntIdUnique ?? mntId,
      cells: [
        { text: mntId },
        { text: fsType ?? 'unknown' },
        mounted === false
          ? {
              text: `unmounted: ${place}`,
              title: `${place} is not in mountinfo any more; what stands under “kept by” keeps it.`,
              className: 'point bad',
            }
          : { text: place, title: place, className: 'point' },
        refused === null
          ? { text: HANDLE_WORDS[handles].name, title: HANDLE_WORDS[handles].means }
          : {
              text: `${HANDLE_WORDS[handles].name}: ${refused}`,
              title: `Lookups there are refused with ${refused}: ${HANDLE_WORDS[handles].means}`,
              className: 'bad',
            },
        number(entries.file),
        number(entries.handle),
        number(entries.invalid),
        number(mount.descriptors),
        { text: pinnedText(mount) },
        { text: twinsText(mount) },
        { text: mntIdUnique ?? '–' },
      ],
    };
  });
}

function more(count: number, one: string, many: string): string {
  return count === 0 ? '' : `${plural(count, `more ${one} is`, `more ${many} are`)} not shown.`;
}

// --- tables ---------------------------------------------------------------------------------------

interface Cell {
  readonly text: string;
  readonly title?: string;
  readonly className?: string;
  readonly isCount?: boolean;
  /** The entry that it leads to. */
  readonly nodeid?: string;
}

interface TableRow {
  readonly key: string;
  readonly cells: readonly Cell[];
}

function number(count: number): Cell {
  return { text: countText(count), isCount: true };
}

function directoryCell(nodeid: string | null, path: string | null): Cell {
  const text = path === '.' ? 'the shared directory' : (path ?? '(name unknown)');
  const cell = { text, title: text, className: 'place' };
  return nodeid === null ? cell : { ...cell, nodeid };
}

/** @param heads `#` before a name: a column of numbers */
function table(title: string, testId: string, heads: readonly string[]) {
  const body = el('tbody');
  const note = el('p', { class: 'budget-note' });
  const scroll = el(
    'div',
    {
      class: 'budget-scroll',
      // It scrolls sideways where the page is narrow, also by keyboard.
      attributes: { role: 'region', 'aria-label': title, tabindex: '0' },
    },
    el(
      'table',
      {},
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          ...heads.map((head) =>
            el('th', {
              text: head.replace('#', ''),
              class: head.startsWith('#') ? 'count' : '',
              attributes: { scope: 'col' },
            }),
          ),
        ),
      ),
      body,
    ),
  );
  return {
    element: el('section', { data: { testid: testId } }, el('h2', { text: title }), note, scroll),
    draw(rows: readonly TableRow[], sentence: string): void {
      setText(note, sentence);
      note.hidden = sentence.trim() === '';
      scroll.hidden = rows.length === 0;
      // Rows that stay keep their elements: a selection and the focus survive the next second.
      select(body)
        .selectAll<HTMLTableRowElement, TableRow>('tr')
        .data(rows, ({ key }) => key)
        .join('tr')
        .order()
        .selectAll<HTMLTableCellElement, Cell>('td')
        .data(({ cells }) => [...cells])
        .join('td')
        .attr('class', ({ className = '', isCount }) => (isCount === true ? 'count' : className))
        .attr('title', ({ title: hint }) => hint ?? null)
        .each(function (cell) {
          fillCell(this, cell);
        });
    },
  };
}

function fillCell(element: HTMLTableCellElement, { text, nodeid }: Cell): void {
  if (nodeid === undefined) {
    setText(element, text);
    return;
  }
  let button = element.querySelector('button');
  if (button === null) {
    button = el('button', { class: 'reveal', attributes: { type: 'button' } });
    element.replaceChildren(button);
  }
  setText(button, text);
  button.dataset['reveal'] = nodeid;
}

// --- descriptors ----------------------------------------------------------------------------------

function descriptorSection() {
  const big = el('span', { class: 'budget-big' });
  const words = el('p', { class: 'budget-note' });
  const entries = el('span', { class: 'budget-part entries' });
  const open = el('span', { class: 'budget-part open' });
  const gauge = el(
    'div',
    {
      class: 'budget-gauge',
      attributes: {
        role: 'meter',
        'aria-label': 'Descriptors held for the guest',
        'aria-valuemin': '0',
      },
    },
    entries,
    open,
    el('span', { class: 'budget-mark', title: '80 %: from here on it is tight (H23)' }),
  );
  const keys = ['entries', 'open', 'reserve'].map((name) =>
    el('span', { class: `budget-key ${name}` }),
  );
  const refused = el('p', { class: 'bad' });
  return {
    element: el(
      'section',
      { data: { testid: 'budget-gauge' } },
      el('h2', { text: 'Descriptors' }),
      big,
      gauge,
      words,
      el('div', { class: 'budget-keys' }, ...keys),
      refused,
    ),
    draw(descriptors: BudgetJson['descriptors']): void {
      const { used, limit, reserved, mounts } = descriptors;
      setText(big, limit === 0 ? countText(used) : `${countText(used)} / ${countText(limit)}`);
      setText(words, gaugeText(descriptors));
      gauge.hidden = limit === 0;
      const share = (count: number): string =>
        `${Math.min(100, (100 * count) / Math.max(1, limit))}%`;
      entries.style.width = share(descriptors.entries);
      open.style.width = share(descriptors.openFiles);
      gauge.classList.toggle('tight', limit > 0 && used / limit > 0.8);
      setAttribute(gauge, 'aria-valuenow', String(used));
      setAttribute(gauge, 'aria-valuemax', String(Math.max(limit, used)));
      setAttribute(gauge, 'aria-valuetext', gaugeText(descriptors));
      const texts = [
        `${countText(descriptors.entries)} by entries`,
        `${countText(descriptors.openFiles)} by files that the guest has open`,
        `${countText(reserved)} reserved for the daemon itself, ${countText(mounts)} of them for mounts`,
      ];
      keys.forEach((key, at) => setText(key, texts[at] ?? ''));
      const sentence = refusedText(descriptors);
      refused.hidden = sentence === null;
      setText(refused, sentence ?? '');
    },
  };
}

// --- growth ---------------------------------------------------------------------------------------

const SPARK = { width: 200, height: 44 };

type Measure = (sample: GrowthSampleJson) => number;
const MEASURES: readonly (readonly [name: string, of: Measure])[] = [
  ['Entries', ({ entries }) => entries],
  ['Descriptors', ({ descriptors }) => descriptors],
  ['Forgets by the guest', ({ forgets }) => forgets],
];

function growthSection() {
  const rows = MEASURES.map(([name, of]) => ({
    minute: sparkline(name, 'in the last minute', of),
    hour: sparkline(name, 'in the last hour', of),
  }));
  return {
    element: el(
      'section',
      { data: { testid: 'budget-growth' } },
      el('h2', { text: 'Growth' }),
      el(
        'div',
        { class: 'sparks' },
        ...rows.flatMap(({ minute, hour }) => [minute.element, hour.element]),
      ),
    ),
    draw(growth: BudgetJson['growth']): void {
      for (const { minute, hour } of rows) {
        minute.draw(growth.minute);
        hour.draw(growth.hour);
      }
    },
  };
}

/** From the least to the most of its samples: it shows how a number went, the words how much it is. */
function sparkline(name: string, period: string, of: Measure) {
  const path = svg('path', { class: 'spark-line' });
  const picture = svg(
    'svg',
    {
      class: 'spark',
      viewBox: `0 0 ${SPARK.width} ${SPARK.height}`,
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    },
    svg('path', { class: 'spark-ground', d: `M0 ${SPARK.height}H${SPARK.width}` }),
    path,
  );
  const amount = el('span', { class: 'spark-amount' });
  const words = el('p', { class: 'budget-note' }, `${name} ${period}: `, amount);
  return {
    element: el('div', {}, words, picture),
    draw(samples: readonly GrowthSampleJson[]): void {
      const values = samples.map(of);
      setText(amount, growthText(values));
      const times = samples.map(({ time }) => Date.parse(time));
      const least = Math.min(...values);
      const most = Math.max(...values);
      const x = scaleLinear([times[0] ?? 0, times.at(-1) ?? 1], [0, SPARK.width]);
      // A number that stays the same is a line in the middle.
      const y = scaleLinear(least === most ? [least - 1, least + 1] : [least, most], [
        SPARK.height - 2,
        2,
      ]);
      const shape = line<number>((_value, at) => x(times[at] ?? 0), y)(values) ?? '';
      setAttribute(path, 'd', shape);
    },
  };
}
