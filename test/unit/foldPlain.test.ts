/** The quick way through the inspector's model leads to the same place as the events do. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { LanesView } from '../../daemon/inspector/laneWindow';
import { LiveModel } from '../../daemon/inspector/liveModel';
import type { InspectorEvent } from '../../daemon/protocol/eventJson';
import type { LaneClass, LanesRequest } from '../../daemon/protocol/lanes';
import { Candidate, NO_FD } from '../../daemon/tables/candidate';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { LookupTrace } from '../../daemon/tables/recorder';
import { makeRing, RingReader, RingWriter } from '../../daemon/trace/eventRing';
import { readRecord, RecordGlance, RingRecorder } from '../../daemon/trace/record';
import { targetOf } from './target';

type Step =
  | { do: 'lookup'; ino: number; generation: number | null; name: string; errno: number }
  | { do: 'forget'; nodeid: number; count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('lookup' as const),
      ino: fc.integer({ min: 10, max: 30 }),
      generation: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 2) }, fc.constant(null)),
      name: fc.constantFrom('a', 'b', 'a rather long name', ''),
      errno: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(2, 12)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('forget' as const),
      nodeid: fc.integer({ min: 1, max: 60 }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
);

const EOPNOTSUPP = 95;

function play(steps: readonly Step[], recorder: RingRecorder, tables: InodeTables): void {
  const encoder = new TextEncoder();
  for (const s of steps) {
    if (s.do === 'forget') {
      if (tables.forget(s.nodeid as Nodeid, s.count)) {
        recorder.forget(s.nodeid as Nodeid, s.count, 'FORGET');
      }
      continue;
    }
    const trace = new LookupTrace();
    trace.parent = 1 as Nodeid;
    trace.nameBuffer = encoder.encode(s.name);
    trace.nameLength = trace.nameBuffer.length;
    trace.errno = s.errno;
    if (s.errno === 0) {
      const { candidate } = trace;
      candidate.inoLow = s.ino;
      candidate.mntId = 74;
      candidate.mode = 0o100644;
      if (s.generation === null) {
        candidate.fd = 100;
        trace.handleErrno = EOPNOTSUPP;
      } else {
        candidate.fd = NO_FD;
        candidate.handleType = 1;
        candidate.handleLength = 8;
        candidate.handleWords.set([s.ino, s.generation]);
      }
      trace.identified = true;
      trace.asked = true;
      const claimed = tables.claim(candidate);
      trace.inserted = claimed === 0;
      trace.nodeid = claimed === 0 ? tables.insert(candidate) : claimed;
    }
    recorder.lookup(trace);
  }
}

interface Follower {
  readonly model: LiveModel;
  readonly events: () => readonly InspectorEvent[];
  /** Reads what the ring holds. */
  readonly drain: () => RingReader;
  /** Records that went the quick way. */
  quick: number;
}

function follower(ring: SharedArrayBuffer, quickly = true): Follower {
  const history = new EventHistory(new Map());
  const model = new LiveModel(targetOf(), {
    event: (event) => history.push(event),
    probe: () => undefined,
  });
  const reader = new RingReader(ring);
  const glance = new RecordGlance(reader.words);
  const made: Follower = {
    model,
    quick: 0,
    events: () => history.from(1, 100_000),
    drain: () => {
      reader.drain(100_000, (words, at) => {
        glance.look(at);
        const seq = model.nextSeq;
        if (quickly && model.foldPlain(glance)) {
          made.quick++;
          history.pushRecord(words, at, seq, glance.events);
          return;
        }
        readRecord(words, at, new Map(), {
          nextSeq: () => model.nextSeq++,
          event: (event) => model.fold(event),
          volume: () => undefined,
        });
      });
      return reader;
    },
  };
  return made;
}

function follow(ring: SharedArrayBuffer, quickly: boolean): Follower {
  const made = follower(ring, quickly);
  made.drain();
  return made;
}

const ALL_LANES = {
  offset: 0,
  count: 60,
  query: '',
  classes: [] as LaneClass[],
  order: 'overlap',
  from: null,
  to: null,
} as const satisfies LanesRequest;

function shown({ model, events }: Follower) {
  const entries = [...model.tables.entries()];
  return {
    entries,
    paths: entries.map(({ nodeid }) => model.path(nodeid)),
    ids: [...model.tables.idsOwners()],
    handles: [...model.tables.handleOwners()],
    counters: model.counters,
    directories: [...model.directories],
    attention: [...model.attention],
    hazards: model.hazards.list(Infinity),
    cells: model.overview.cells(0, Math.max(1, model.tables.rowLimit), 100),
    lastLookup: model.lastLookupSeq,
    touched: model.touchedSince(0),
    lanes: new LanesView(model, ALL_LANES).window().lanes,
    events: events(),
  };
}

it('folds plain records to what their events would have made', () => {
  let quick = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
      const ring = makeRing(1 << 15);
      const recorder = new RingRecorder(new RingWriter(ring, () => undefined), tables);
      const root = new Candidate();
      root.inoLow = 2;
      root.mntId = 74;
      root.fd = 3;
      tables.insertRoot(root);
      recorder.init(root);
      play(steps, recorder, tables);
      const quickly = follow(ring, true);
      quick += quickly.quick;
      expect(shown(quickly)).toEqual(shown(follow(ring, false)));
    }),
    { numRuns: 300 },
  );
  expect(quick).toBeGreaterThan(300);
});

it('keeps the newest records within its bounds and hands out whole events', () => {
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const ring = makeRing(1 << 16);
  const recorder = new RingRecorder(new RingWriter(ring, () => undefined), tables);
  const history = new EventHistory(new Map(), 2_000);
  const reader = new RingReader(ring);
  const glance = new RecordGlance(reader.words);
  let seq = 1;
  for (let round = 0; round < 300; round++) {
    play(
      [{ do: 'lookup', ino: round, generation: 1, name: `n${round}`, errno: 0 }],
      recorder,
      tables,
    );
    reader.drain(1, (words, at) => {
      glance.look(at);
      history.pushRecord(words, at, seq, glance.events);
      seq += glance.events;
    });
  }
  expect(history.oldest).toBeGreaterThan(400);
  const kept = history.from(1, 10_000);
  expect(kept.map((event) => event.seq)).toEqual(
    Array.from({ length: seq - history.oldest }, (_, i) => history.oldest + i),
  );
  expect(kept.at(-2)).toMatchObject({ type: 'lookup', name: new TextEncoder().encode('n299') });
  const own = history.newestOf(
    300 as Nodeid,
    5,
    (event) => 'nodeid' in event && event.nodeid === 300,
  );
  expect(own.map(({ type }) => type)).toEqual(['insert', 'lookup']);
});

it('goes on from the tables themselves after events were lost', () => {
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const ring = makeRing(512);
  const writer = new RingWriter(ring, () => undefined);
  const recorder = new RingRecorder(writer, tables);
  const root = new Candidate();
  root.inoLow = 2;
  root.fd = 3;
  tables.insertRoot(root);
  recorder.init(root);
  const look = (ino: number, generation: number): Step => ({
    do: 'lookup',
    ino,
    generation,
    name: `n${ino}`,
    errno: 0,
  });

  const { model, events, drain } = follower(ring);
  play([look(10, 1), look(10, 2)], recorder, tables);
  drain();
  expect(model.hazards.totals).toMatchObject({ H7: 1 });
  // Far more than the ring holds, and nobody reads.
  play(
    Array.from({ length: 100 }, (_, i) => look(20 + i, 1)),
    recorder,
    tables,
  );
  const reader = drain();
  expect(reader.lost).toBe(true);
  expect(model.tables.size).toBeLessThan(tables.size);

  model.restore(structuredClone(tables.image()));
  writer.restart();
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
  expect(events().at(-1)).toMatchObject({ type: 'resync', entries: tables.size });
  // What is wrong with the keys is seen in the tables; whose doing it was is not known any more.
  expect(model.idsKey(2 as Nodeid)).toEqual({ state: 'stolen', owner: '3', time: null });
  expect(model.attention.has(2 as Nodeid)).toBe(true);

  play([look(10, 3), { do: 'forget', nodeid: 50, count: 1 }], recorder, tables);
  drain();
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
  expect(model.path(104 as Nodeid)).toBe('n10');
  expect(events().map(({ seq }) => seq)).toEqual(events().map((_, i) => i + 1));
});
