/** The recorded tours: at each step the tables and hazards that the catalogue says. */

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { HAZARD_RULES } from '../../daemon/hazards/hazardBook';
import type { LiveModel } from '../../daemon/inspector/liveModel';
import { readRecording } from '../../daemon/replay/recording';
import { Replay } from '../../daemon/replay/replay';

const FOLDER = path.resolve(import.meta.dirname, '../../tours');

/** `2H`, `3F`: nodes that hold a handle, a descriptor; `ids→3`: who owns their ids key (0: nobody). */
type Step = readonly [tables: string, hazards: string];

const EXPECTED: Readonly<Record<string, readonly Step[]>> = {
  // One ids key, two handles, two nodes; the old one ESTALE.
  S1: [
    ['1H', ''],
    ['1H, 2H', ''],
    ['1H, 2H ids→3, 3H', 'H1 information, H2 information, H7 information'],
    ['1H, 2H ids→3, 3H', 'H1 information, H2 error, H7 information'],
    ['1H, 3H ids→0', 'H8 information'],
  ],
  // data {2: Handle, 3: File}, by_handle {A→2}, by_ids {12→3}: the tables point at different nodes.
  S2: [
    ['1H, 2H', ''],
    ['1H, 2H ids→3, 3F', 'H4 identity, H5 identity, H7 information'],
    ['1H, 2H ids→3, 3F', 'H4 identity, H5 identity, H6 identity, H7 information, H10 identity'],
    ['1H, 2H ids→0', ''],
  ],
  S3: [
    ['1H, 2F', 'H4 identity'],
    ['1H, 2F', 'H3 information, H4 identity'],
    ['1H', ''],
  ],
  S4: [
    ['1H, 2H', ''],
    ['1H, 2H ids→3, 3F', 'H2 information, H4 identity, H7 information'],
    ['1H, 3F ids→0', 'H4 identity, H8 identity'],
    ['1H, 3F ids→4, 4F', 'H4 identity, H5 identity, H8 identity'],
    ['1H, 4F ids→0', 'H8 identity'],
  ],
  // A clean picture in the tables: only the probe shows it.
  S5: [
    ['1F, 2F, 3F', ''],
    ['1F, 2F, 3F', 'H11 data'],
    ['1F, 2F, 3F, 4F', 'H11 data'],
  ],
  S13: [
    ['1H, 2H', ''],
    ['1H, 2H, 3H', ''],
    ['1H, 2H ids→4, 3H, 4H', 'H1 information, H2 information, H7 information'],
    ['1H, 3H, 4H ids→0', 'H8 information'],
    ['1H, 3H, 4H ids→0', 'H8 information'],
  ],
  A: [
    ['1H, 2H', ''],
    ['1H, 2H', 'H4 identity, H13 data'],
    ['1H, 2H', 'H2 error, H4 identity, H13 data'],
    ['1H, 2H ids→3, 3H', 'H1 information, H2 error, H4 identity, H7 information, H13 data'],
  ],
  B: [
    ['1H, 2F', 'H4 identity'],
    ['1H, 2F', 'H3 information, H4 identity'],
    ['1H, 2F, 3H', 'H3 information, H4 identity'],
    ['1H, 3H', ''],
  ],
  C: [
    ['1H, 2H', ''],
    ['1H, 2H', 'H22 error'],
    ['1H, 2H', ''],
    ['1H, 2H ids→3, 3F', 'H4 identity, H5 identity, H6 identity, H7 information'],
    ['1H, 2H ids→3, 3F', 'H4 identity, H5 identity, H6 identity, H7 information, H10 identity'],
    ['1H, 2H ids→0', ''],
  ],
};

/** What the tours are about; other findings beside them may only inform. */
const TOLD = new Set([
  'H1',
  'H2',
  'H3',
  'H4',
  'H5',
  'H6',
  'H7',
  'H8',
  'H10',
  'H11',
  'H12',
  'H13',
  'H22',
]);

const KINDS = { handle: 'H', file: 'F', invalid: '?' } as const;

function tablesText({ tables }: LiveModel): string {
  return [...tables.entries()]
    .sort((a, b) => a.nodeid - b.nodeid)
    .map(({ nodeid, kind }) => {
      const owner = tables.ownerOfIdsKey(nodeid);
      const byHandle = tables.ownerOfHandleKey(nodeid);
      if (kind === 'handle') expect(byHandle).toBe(nodeid);
      return `${nodeid}${KINDS[kind]}${owner === nodeid ? '' : ` ids→${owner}`}`;
    })
    .join(', ');
}

function hazardsText({ hazards }: LiveModel): string {
  const open = hazards.list(1_000);
  const beside = open.filter(({ id, severity }) => !TOLD.has(id) && severity !== 'information');
  expect(beside).toEqual([]);
  const number = (text: string) => Number(/\d+/.exec(text)?.[0]);
  const told = open.filter(({ id }) => TOLD.has(id)).map(({ id, severity }) => `${id} ${severity}`);
  return [...new Set(told)].sort((a, b) => number(a) - number(b)).join(', ');
}

const recorded = readdirSync(FOLDER).map((file) => path.parse(file).name);

it('every tour is expected, and every expected one is recorded', () => {
  expect(recorded.sort()).toEqual(Object.keys(EXPECTED).sort());
});

describe.each(Object.entries(EXPECTED))('tour %s', (name, steps) => {
  const { target, tour, events } = readRecording(path.join(FOLDER, `${name}.jsonl`));
  const replay = new Replay({ ...target, pid: 1 }, events);
  const told = tour?.steps ?? [];

  it('shows at each step what the catalogue says, forwards and backwards', () => {
    expect(told).toHaveLength(steps.length);
    const order = [...steps.keys(), ...[...steps.keys()].reverse()];
    for (const i of order) {
      replay.playTo(Number(told[i]?.after));
      const { model } = replay.now;
      expect([tablesText(model), hazardsText(model)], told[i]?.title).toEqual(steps[i]);
    }
  });

  it('names entries and hazards that are there', () => {
    const known = new Set(HAZARD_RULES.map(({ id }) => id));
    for (const { after, nodeids, hazards, title } of told) {
      replay.playTo(Number(after));
      const { model } = replay.now;
      const nodes = [...model.tables.entries()].map(({ nodeid }) => String(nodeid));
      expect(nodes, title).toEqual(expect.arrayContaining(nodeids));
      const open = model.hazards.list(1_000).map(({ id }) => id);
      expect(open, title).toEqual(expect.arrayContaining(hazards));
      for (const hazard of hazards) expect(known).toContain(hazard);
    }
  });

  it('plays to its end: the last step is the last event', () => {
    expect(told.at(-1)?.after).toBe(String(events.at(-1)?.seq));
  });
});
