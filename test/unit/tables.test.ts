import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Candidate, NO_FD, NO_HANDLE } from '../../daemon/tables/candidate';
import type { TableEvent } from '../../daemon/tables/events';
import { applyEvent } from '../../daemon/tables/events';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES, LOOKUP_RULE_NAMES } from '../../daemon/tables/lookupRule';
import { makeRing, RingReader, RingWriter } from '../../daemon/trace/eventRing';
import { readRecord, RingRecorder } from '../../daemon/trace/record';
import { LookupTrace } from '../../daemon/tables/recorder';

/** A candidate as a lookup on ext4 would make it: 8 bytes of handle, ino and generation. */
function candidate(ino: number, generation: number | null, fd = 100): Candidate {
  const c = new Candidate();
  c.inoLow = ino;
  c.devMajor = 7;
  c.mntId = 74;
  c.mode = 0o100644;
  c.fd = fd;
  c.handleLength = NO_HANDLE;
  if (generation !== null) {
    c.handleType = 1;
    c.handleLength = 8;
    c.handleWords[0] = ino;
    c.handleWords[1] = generation;
    c.fd = NO_FD;
  }
  return c;
}

function lookUp(tables: InodeTables, c: Candidate): Nodeid {
  return tables.claim(c) || tables.insert(c);
}

const rule = LOOKUP_RULES['handle-then-fd'];

describe('lookup rules', () => {
  it('asks by handle first and refuses an ids hit on an entry without a descriptor', () => {
    const tables = new InodeTables(rule);
    expect(lookUp(tables, candidate(12, 1))).toBe(2);
    expect(tables.asked.hit).toBe('miss');
    expect(lookUp(tables, candidate(12, 1))).toBe(2);
    expect(tables.asked.hit).toBe('handle_hit');
    // The number came back with another generation (catalogue H1).
    expect(lookUp(tables, candidate(12, 2))).toBe(3);
    expect(tables.asked).toEqual({ byHandle: 0, byIds: 2, hit: 'fallback_rejected' });
    expect(tables.inserted.idsStolenFrom).toBe(2);
  });

  it('falls back to an entry that holds a descriptor, with and without a handle', () => {
    const tables = new InodeTables(rule);
    expect(lookUp(tables, candidate(12, null))).toBe(2);
    expect(lookUp(tables, candidate(12, null))).toBe(2);
    expect(tables.asked.hit).toBe('handleless_hit');
    expect(lookUp(tables, candidate(12, 5))).toBe(2);
    expect(tables.asked.hit).toBe('fallback_hit');
  });

  it.each([
    // first lookup, second lookup, what each rule answers to the second: same node or a new one
    [
      'reuse seen with handles',
      1,
      2,
      { 'handle-then-fd': 3, strict: 3, 'ids-first': 2, v2: 3, 'ids-only': 2 },
    ],
    [
      'scenario A: reuse, second without handle',
      1,
      null,
      { 'handle-then-fd': 3, strict: 3, 'ids-first': 2, v2: 2, 'ids-only': 2 },
    ],
    [
      'scenario B: handle comes later',
      null,
      1,
      { 'handle-then-fd': 2, strict: 3, 'ids-first': 2, v2: 2, 'ids-only': 2 },
    ],
    [
      'no handles at all',
      null,
      null,
      { 'handle-then-fd': 2, strict: 2, 'ids-first': 2, v2: 2, 'ids-only': 2 },
    ],
  ] as const)('%s', (_name, first, second, answers) => {
    for (const name of LOOKUP_RULE_NAMES) {
      const tables = new InodeTables(LOOKUP_RULES[name]);
      lookUp(tables, candidate(12, first));
      expect([name, lookUp(tables, candidate(12, second))]).toEqual([name, answers[name]]);
    }
  });
});

describe("virtiofsd's wrongs, kept exactly (catalogue 2.1)", () => {
  it('S4: forgetting the robbed entry takes the key of the living one, whose file then gets a second node', () => {
    const tables = new InodeTables(rule);
    expect(lookUp(tables, candidate(13, 1))).toBe(2);
    expect(lookUp(tables, candidate(13, null, 40))).toBe(3);
    expect(tables.inserted.idsStolenFrom).toBe(2);
    expect(lookUp(tables, candidate(13, null, 41))).toBe(3);
    expect(tables.forget(2 as Nodeid, 1)).toBe(true);
    expect(tables.forgotten).toMatchObject({ removed: true, idsLostBy: 3, fd: NO_FD });
    expect(lookUp(tables, candidate(13, null, 42))).toBe(4);
  });

  it('S13: the lost key of a handle entry goes unnoticed', () => {
    const tables = new InodeTables(rule);
    lookUp(tables, candidate(14, 1));
    lookUp(tables, candidate(15, 2));
    expect(lookUp(tables, candidate(14, 3))).toBe(4);
    tables.forget(2 as Nodeid, 1);
    expect(tables.forgotten.idsLostBy).toBe(4);
    expect(tables.ownerOfIdsKey(4 as Nodeid)).toBe(0);
    expect(lookUp(tables, candidate(14, 3))).toBe(4);
  });

  it('saturates an over-forget and ignores an unknown node', () => {
    const tables = new InodeTables(rule);
    lookUp(tables, candidate(9, null, 77));
    expect(tables.forget(99 as Nodeid, 1)).toBe(false);
    expect(tables.forget(2 as Nodeid, 1000)).toBe(true);
    expect(tables.forgotten).toMatchObject({ removed: true, lookups: 0, fd: 77 });
    expect(tables.size).toBe(0);
  });

  it('never uses a node id again, even after clear', () => {
    const tables = new InodeTables(rule);
    lookUp(tables, candidate(1, 1));
    tables.forget(2 as Nodeid, 1);
    tables.clear();
    expect(lookUp(tables, candidate(1, 1))).toBe(3);
  });
});

// --- properties ---------------------------------------------------------------------------------

/** What a Map-based copy of inode_store.rs does: the slow, obvious statement of the same rules. */
class Reference {
  readonly data = new Map<number, { c: Candidate; n: number }>();
  readonly byIds = new Map<string, number>();
  readonly byHandle = new Map<string, number>();
  #next = 2;

  lookUp(c: Candidate): number {
    const handle = handleKey(c);
    let nodeid = handle === null ? undefined : this.byHandle.get(handle);
    if (nodeid === undefined) {
      const named = this.byIds.get(idsKey(c));
      if (named !== undefined && handleKey(this.data.get(named)?.c) === null) nodeid = named;
    }
    const known = nodeid === undefined ? undefined : this.data.get(nodeid);
    if (nodeid !== undefined && known !== undefined) {
      known.n++;
      return nodeid;
    }
    nodeid = this.#next++;
    this.data.set(nodeid, { c, n: 1 });
    this.byIds.set(idsKey(c), nodeid);
    if (handle !== null) this.byHandle.set(handle, nodeid);
    return nodeid;
  }

  forget(nodeid: number, count: number): void {
    const entry = this.data.get(nodeid);
    if (entry === undefined) return;
    entry.n = Math.max(0, entry.n - count);
    if (entry.n > 0) return;
    this.data.delete(nodeid);
    this.byIds.delete(idsKey(entry.c));
    const handle = handleKey(entry.c);
    if (handle !== null) this.byHandle.delete(handle);
  }
}

function idsKey(c: Candidate): string {
  return `${c.inoHigh}/${c.inoLow}/${c.devMajor}:${c.devMinor}/${c.mntId}`;
}

function handleKey(c: Candidate | undefined): string | null {
  if (c === undefined || c.handleLength === NO_HANDLE) return null;
  const words = [...c.handleWords.subarray(0, (c.handleLength + 3) >> 2)];
  return `${c.mntId}/${c.handleType}/${c.handleLength}/${words.join()}`;
}

type Step =
  | { do: 'lookup'; ino: number; generation: number | null; mnt: number }
  | { do: 'forget'; nodeid: number; count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lookup' as const),
      ino: fc.integer({ min: 1, max: 40 }),
      generation: fc.option(fc.integer({ min: 1, max: 3 })),
      mnt: fc.integer({ min: 70, max: 72 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('forget' as const),
      nodeid: fc.integer({ min: 1, max: 120 }),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
);

function candidateOf(s: Extract<Step, { do: 'lookup' }>): Candidate {
  const c = candidate(s.ino, s.generation, 1000 + s.ino);
  c.mntId = s.mnt;
  c.inoHigh = s.ino % 3 === 0 ? -1 : 0;
  return c;
}

function contents(tables: InodeTables) {
  return {
    entries: [...tables.entries()],
    ids: [...tables.idsOwners()],
    handles: [...tables.handleOwners()],
    kinds: (['file', 'handle', 'invalid'] as const).map((kind) => tables.entriesOfKind(kind)),
  };
}

describe('properties', () => {
  it('agrees with the obvious model on every answer and on both tables', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const tables = new InodeTables(rule);
        const reference = new Reference();
        for (const s of steps) {
          if (s.do === 'lookup') {
            expect(lookUp(tables, candidateOf(s))).toBe(reference.lookUp(candidateOf(s)));
          } else {
            tables.forget(s.nodeid as Nodeid, s.count);
            reference.forget(s.nodeid, s.count);
          }
        }
        expect(tables.size).toBe(reference.data.size);
        expect(tables.idsKeys).toBe(reference.byIds.size);
        expect(tables.handleKeys).toBe(reference.byHandle.size);
        expect([...tables.idsOwners()].sort()).toEqual([...reference.byIds.values()].sort());
        expect([...tables.handleOwners()].sort()).toEqual([...reference.byHandle.values()].sort());
        for (const [nodeid, { n }] of reference.data) {
          expect(tables.entry(nodeid as Nodeid)?.lookups).toBe(n);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('holds the invariants of the catalogue', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const tables = new InodeTables(rule);
        for (const s of steps) {
          if (s.do === 'lookup') lookUp(tables, candidateOf(s));
          else tables.forget(s.nodeid as Nodeid, s.count);
          // I3, I4: no key leads to an entry that is not there.
          for (const owner of tables.idsOwners()) expect(tables.has(owner)).toBe(true);
          for (const owner of tables.handleOwners()) expect(tables.has(owner)).toBe(true);
        }
        const entries = [...tables.entries()];
        // I2, I5: a handle key is only ever owned by its entry, and no two entries have one handle.
        for (const e of entries.filter((e) => e.kind === 'handle')) {
          expect(tables.ownerOfHandleKey(e.nodeid)).toBe(e.nodeid);
        }
        // A key that is owned is owned by an entry with these very ids (I1 up to theft and loss).
        for (const e of entries) {
          const owner = tables.ownerOfIdsKey(e.nodeid);
          if (owner !== 0) expect(tables.entry(owner)?.ids).toEqual(e.ids);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is rebuilt exactly by folding the events of the ring', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const tables = new InodeTables(rule);
        const ring = makeRing(1 << 14);
        const writer = new RingWriter(ring, () => undefined);
        const recorder = new RingRecorder(writer, tables);
        const reader = new RingReader(ring);
        const folded = new InodeTables(rule);
        const events: TableEvent[] = [];
        let seq = 1;
        const drain = () =>
          reader.drain(1000, (words, at) => {
            readRecord(words, at, new Map(), {
              nextSeq: () => seq++,
              event: (event) => {
                events.push(event);
                applyEvent(folded, event);
              },
              volume: () => undefined,
            });
          });

        const root = candidate(2, 9);
        tables.insertRoot(root);
        recorder.init(root);
        for (const [i, s] of steps.entries()) {
          if (s.do === 'lookup') {
            const trace = new LookupTrace();
            trace.candidate = candidateOf(s);
            trace.identified = true;
            trace.asked = true;
            trace.nameBuffer = new Uint8Array([102, 111, 111, 0xff]);
            trace.nameLength = (i % 4) + 1;
            const claimed = tables.claim(trace.candidate);
            trace.inserted = claimed === 0;
            trace.nodeid = claimed === 0 ? tables.insert(trace.candidate) : claimed;
            recorder.lookup(trace);
          } else if (tables.forget(s.nodeid as Nodeid, s.count)) {
            recorder.forget(s.nodeid as Nodeid, s.count, 'FORGET');
          }
          if (i % 7 === 0) drain();
        }
        drain();
        expect(contents(folded)).toEqual(contents(tables));
        expect(events.map((e) => e.seq)).toEqual(events.map((_, i) => i + 1));

        const restored = new InodeTables(rule);
        restored.restore(structuredClone(tables.image()));
        expect(contents(restored)).toEqual(contents(tables));
        expect(restored.insert(candidate(999, 9))).toBe(tables.insert(candidate(999, 9)));
      }),
      { numRuns: 200 },
    );
  });

  it('stays right while it grows and shrinks', () => {
    const tables = new InodeTables(rule);
    const count = 50_000;
    for (let i = 1; i <= count; i++) lookUp(tables, candidate(i, i % 3 === 0 ? null : i, i));
    for (let i = 1; i <= count; i += 2) expect(tables.forget((i + 1) as Nodeid, 1)).toBe(true);
    for (let i = 2; i <= count; i += 2) {
      expect(tables.claim(candidate(i, i % 3 === 0 ? null : i, i))).toBe(i + 1);
    }
    expect(tables.size).toBe(count / 2);
    expect(tables.idsKeys).toBe(count / 2);
  });
});

describe('the event ring', () => {
  it('gives up rather than wait when nobody reads, and goes on after a restart', () => {
    const tables = new InodeTables(rule);
    let woken = 0;
    const ring = makeRing(256);
    const writer = new RingWriter(ring, () => woken++);
    const recorder = new RingRecorder(writer, tables);
    const reader = new RingReader(ring);
    expect(reader.sleep()).toBe(true);
    for (let i = 0; i < 100; i++) recorder.openByHandleFailed(2 as Nodeid, 116);
    expect(woken).toBe(1);
    expect(reader.lost).toBe(true);
    const before = reader.drain(1000, () => undefined);
    expect(before).toBeGreaterThan(30);
    writer.restart();
    recorder.openByHandleFailed(2 as Nodeid, 116);
    expect(reader.drain(1000, () => undefined)).toBe(1);
  });
});
