/** Explanations: the trace of a lookup, what other rules would have answered, causes of errnos. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pastOf } from '../../daemon/inspector/past';
import type { WhySubject } from '../../daemon/protocol/why';
import { MAX_STEPS, whyResult } from '../../daemon/protocol/why';
import { nameBytes, nameText } from '../../daemon/protocol/text';
import { Candidate, NO_FD, NO_HANDLE } from '../../daemon/tables/candidate';
import { decide } from '../../daemon/tables/decisions';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import { LOOKUP_RULE_NAMES, LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { shellWord } from '../../daemon/why/reproduce';
import { why } from '../../daemon/why/why';
import * as v from 'valibot';
import { ENOENT, ENOMEM, EOPNOTSUPP, ESTALE, Source } from './inspectorSource';

const ask = (source: Source, about: WhySubject) =>
  v.parse(whyResult, why(pastOf(source.model, source.history), about));

/** What each rule would have answered, in a few words. */
const verdicts = (source: Source, about: WhySubject) =>
  Object.fromEntries(
    (ask(source, about).traces[0]?.rules ?? []).map(({ rule, nodeid, verdict }) => [
      rule,
      `${nodeid ?? 'new'} ${verdict}`,
    ]),
  );

const newest = (source: Source): WhySubject => ({
  seq: String(source.events.filter(({ type }) => type === 'lookup').at(-1)?.seq ?? 0),
});

describe('the trace of a lookup', () => {
  it('tells a reused number step by step, with the values', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    const { traces, title, advice, now } = ask(source, newest(source));
    expect(title).toBe('LOOKUP “f” in node 1 → node 3');
    expect(traces[0]?.steps).toEqual([
      'LOOKUP “f” in node 1 found ids 12/7:0/74 and made handle 74·0c00000009000000 (generation 9).',
      'inodes_by_handle has no such key.',
      'inodes_by_ids leads to node 2, which holds only a handle: rejected, its number may have been reused.',
      'Node 3 was inserted, and took the ids key of node 2.',
    ]);
    expect(verdicts(source, newest(source))).toEqual({
      'handle-then-fd': 'new new_node',
      strict: 'new new_node',
      'ids-first': '2 wrong_file',
      v2: 'new new_node',
      'ids-only': '2 wrong_file',
    });
    expect(now).toBe(
      'Node 3 is counted once; inodes_by_ids leads to it, inodes_by_handle leads to it.',
    );
    expect(advice).not.toEqual([]);
  });

  it('knows what forgotten entries held, and says so when it does not any more', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    const about = newest(source);
    source.forget(2 as Nodeid);
    expect(verdicts(source, about)).toMatchObject({ 'ids-first': '2 wrong_file' });

    const past = pastOf(source.model, source.history);
    const { traces } = why({ ...past, creation: () => null }, about);
    expect(traces[0]?.unknown).toContain('Node 2 has been forgotten');
    expect(traces[0]?.rules.find(({ rule }) => rule === 'handle-then-fd')?.verdict).toBe('unknown');
    expect(traces[0]?.steps).toHaveLength(4);
  });

  it("scenario A: without a handle only v2 and the ids rules give the old file's node", () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 }, { btime: 100 });
    source.lookup('f', { ino: 12, generation: null }, { handleErrno: EOPNOTSUPP, btime: 200 });
    expect(ask(source, newest(source)).traces[0]?.steps.slice(0, 2)).toEqual([
      'LOOKUP “f” in node 1 found ids 12/7:0/74, but no handle: name_to_handle_at failed with EOPNOTSUPP.',
      'inodes_by_handle cannot be asked without a handle.',
    ]);
    expect(verdicts(source, newest(source))).toEqual({
      'handle-then-fd': 'new new_node',
      strict: 'new new_node',
      'ids-first': '2 wrong_file',
      v2: '2 wrong_file',
      'ids-only': '2 wrong_file',
    });
  });

  it('scenario B: an entry with a descriptor is believed, but by the strict rule', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: null }, { handleErrno: EOPNOTSUPP });
    source.lookup('f', { ino: 12, generation: 7 });
    expect(ask(source, newest(source)).traces[0]?.steps).toEqual([
      'LOOKUP “f” in node 1 found ids 12/7:0/74 and made handle 74·0c00000007000000 (generation 7).',
      'inodes_by_handle has no such key.',
      'inodes_by_ids leads to node 2, which holds an open descriptor: accepted, for it keeps the number in use.',
      'Node 2 answered.',
    ]);
    expect(verdicts(source, newest(source))).toEqual({
      'handle-then-fd': '2 right',
      strict: 'new second_node',
      'ids-first': '2 right',
      v2: '2 right',
      'ids-only': '2 right',
    });
  });

  it('scenario C: the second name without a handle gets a second node', () => {
    const source = new Source();
    source.lookup('foo', { ino: 12, generation: 7 }, { btime: 100 });
    source.lookup('foo-link', { ino: 12, generation: null }, { handleErrno: ENOMEM, btime: 100 });
    expect(verdicts(source, newest(source))).toEqual({
      'handle-then-fd': 'new second_node',
      strict: 'new second_node',
      'ids-first': '2 right',
      v2: '2 right',
      'ids-only': '2 right',
    });
  });

  it('does not know whether it is the same file when nothing tells', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: null }, { handleErrno: EOPNOTSUPP });
    expect(verdicts(source, newest(source))).toMatchObject({
      'handle-then-fd': 'new unknown',
      v2: '2 unknown',
    });
  });

  it('finds the owner of a handle that the rule did not ask for', () => {
    const source = new Source('prefer', 'ids-only');
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    expect(verdicts(source, newest(source))).toEqual({
      'handle-then-fd': 'new new_node',
      strict: 'new new_node',
      'ids-first': '2 wrong_file',
      v2: 'new new_node',
      'ids-only': '2 wrong_file',
    });
    source.lookup('f', { ino: 12, generation: 7 });
    expect(verdicts(source, newest(source))).toMatchObject({ 'handle-then-fd': '2 right' });
    expect(ask(source, newest(source)).traces[0]?.steps).toContain(
      'inodes_by_ids leads to node 2, which holds only a handle: accepted by the rule ids-only, though the number may have been reused.',
    );
  });
});

describe('what can be asked about', () => {
  it('an entry: how it was made, and the newest lookup that led to it', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('g', { ino: 12, generation: 7 });
    const { traces, title } = ask(source, { nodeid: '2' });
    expect(title).toBe('node 2: g');
    expect(traces.map(({ title }) => title)).toEqual([
      'LOOKUP “f” in node 1 → node 2',
      'LOOKUP “g” in node 1 → node 2',
    ]);
    expect(ask(source, { nodeid: '1' })).toMatchObject({ title: 'node 1: .', traces: [] });
  });

  it('a path, when it is that of one entry; else it says which there are', () => {
    const source = new Source();
    const folder = source.lookup('a', { ino: 11, generation: 1 });
    source.lookup("b'\n", { ino: 12, generation: 7 }, { parent: folder });
    expect(ask(source, { path: "a/b'\n" })).toMatchObject({ nodeid: '3' });
    expect(ask(source, { path: "/srv/share/a/b'\n" })).toMatchObject({ nodeid: '3' });
    expect(ask(source, { path: './a/' })).toMatchObject({ nodeid: '2' });
    source.lookup("b'\n", { ino: 12, generation: 9 }, { parent: folder });
    expect(() => ask(source, { path: "a/b'\n" })).toThrow(/nodes 3, 4.*led to node 4/);
    source.refuse('missing', ENOENT);
    expect(ask(source, { path: 'missing' })).toMatchObject({
      nodeid: null,
      cause: { errno: 'ENOENT', kind: 'not_there' },
    });
    expect(() => ask(source, { path: 'never seen' })).toThrow('relative to /srv/share');
  });

  it('anything in the stream that is about an entry', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    source.answerProbes(ESTALE);
    source.forget(2 as Nodeid);
    for (const { seq, type } of source.events) {
      if (type === 'init') continue;
      expect([type, ask(source, { seq: String(seq) }).title]).not.toEqual([type, '']);
    }
    expect(() => ask(source, { seq: '1' })).toThrow('about no entry');
    expect(() => ask(source, { seq: '999' })).toThrow('not kept');
    expect(() => ask(source, { nodeid: '77' })).toThrow('not in the tables');
    expect(ask(source, { nodeid: '2' }).now).toMatch(/^Node 2 has been forgotten \(event \d+\)\.$/);
  });

  it('an open hazard', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    source.answerProbes(ESTALE);
    const { title, advice } = ask(source, { hazard: 'H1' });
    expect(title).toContain('H1 INODE-NUMBER REUSE');
    expect(advice[0]).toContain('generation 7 → 9');
    expect(() => ask(source, { hazard: 'H12' })).toThrow('No hazard H12 is open');
    source.forget(2 as Nodeid);
    expect(ask(source, { hazard: 'H1' }).title).toContain('H1 INODE-NUMBER REUSE (over)');
  });
});

describe('why the guest was told an errno', () => {
  it('ESTALE: replaced, when its number belongs to another file', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    expect(ask(source, { errno: 'ESTALE' }).cause).toEqual({
      errno: 'ESTALE',
      kind: 'replaced',
      sentence:
        'The file was deleted on the host, and its inode number 12 belongs to another file now.',
      evidence: [
        expect.stringMatching(/open_by_handle_at failed with ESTALE for node 2 \(f\)\.$/),
        expect.stringContaining('found ids 12/7:0/74 again, with another handle, and got node 3'),
        'Generation 7 then, 9 now.',
      ],
    });
  });

  it('ESTALE: volatile, when a FUSE share has the same name and number still', () => {
    const source = new Source();
    const fuse = { fsType: 0x65735546 };
    source.lookup('f', { ino: 12, generation: 7 }, fuse);
    source.lookup('f', { ino: 12, generation: 9 }, fuse);
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    const { cause, advice } = ask(source, { nodeid: '2' });
    expect(cause?.kind).toBe('volatile');
    expect(advice.join()).toContain('--inode-file-handles=never');
  });

  it('ESTALE: deleted, with what became of the name', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('other', { ino: 13, generation: 7 });
    source.refuse('f', ENOENT);
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    const { cause } = ask(source, { errno: 'ESTALE' });
    expect(cause?.kind).toBe('deleted');
    expect(cause?.evidence.at(-1)).toMatch(/“f” gave ENOENT\.$/);
  });

  it('ESTALE: the mount is gone, when nothing on it can be opened', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7, mntId: 80 });
    source.lookup('g', { ino: 13, generation: 7, mntId: 80 });
    source.openByHandleFailed(3 as Nodeid, ESTALE);
    expect(ask(source, { nodeid: '3' }).cause?.kind).toBe('deleted');
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    expect(ask(source, { nodeid: '3' }).cause?.kind).toBe('mount_gone');
  });

  it('ESTALE that no reply carried is made by the guest, with the name that changed its node', () => {
    const source = new Source();
    source.lookup('doc', { ino: 12, generation: 7 });
    expect(ask(source, { errno: 'ESTALE' }).cause).toMatchObject({ kind: 'guest_made' });
    source.lookup('doc', { ino: 15, generation: 3 });
    source.lookup('unchanged', { ino: 16, generation: 3 });
    const { cause } = ask(source, { errno: 'ESTALE' });
    expect(cause?.evidence[1]).toMatch(/“doc” in node 1 changed from node 2 to node 3\.$/);
  });

  it('EPERM, ENFILE, ENOMEM and what the host refuses', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.openByHandleFailed(2 as Nodeid, 1);
    expect(ask(source, { nodeid: '2' }).cause?.kind).toBe('not_openable');
    source.refuse('full', 23);
    expect(ask(source, { errno: 'ENFILE' }).cause?.kind).toBe('too_many_files');
    source.refuse('short', ENOMEM, { handleErrno: ENOMEM });
    expect(ask(source, { path: 'short' }).cause?.kind).toBe('no_memory');
    source.refuse('bare', EOPNOTSUPP, { handleErrno: EOPNOTSUPP });
    expect(ask(source, { path: 'bare' }).cause?.kind).toBe('no_handles');
    source.refuse('secret', 13);
    expect(ask(source, { path: 'secret' }).cause?.kind).toBe('host_refused');
    expect(() => ask(source, { errno: 'EXDEV' })).toThrow('answered EXDEV');
  });
});

describe('shell words', () => {
  it.each([
    ['a/b.txt', 'a/b.txt'],
    ["it's", "'it'\\''s'"],
    ['-rf', "'-rf'"],
    ['two words', "'two words'"],
    ['\\xff\\\\', "$'\\xff\\\\'"],
    ["a\nb'", "$'a\\x0ab\\''"],
  ])('%j is %s', (name, word) => expect(shellWord(name)).toBe(word));

  it('names survive being written and read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect([...nameBytes(nameText(bytes))]).toEqual([...bytes]);
      }),
    );
  });
});

// --- properties -----------------------------------------------------------------------------------

const file = fc.record({
  ino: fc.integer({ min: 10, max: 14 }),
  generation: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(1, 2) }, fc.constant(null)),
});
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: file },
    { weight: 1, arbitrary: fc.record({ forget: fc.integer({ min: 2, max: 20 }) }) },
  ),
  { maxLength: 40 },
);

it('the last step is what the event says, and the rule in force answers as it did', () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(...LOOKUP_RULE_NAMES), (all, rule: LookupRuleName) => {
      const source = new Source('prefer', rule);
      for (const step of all) {
        if (!('forget' in step)) {
          source.lookup('f', step, step.generation === null ? { handleErrno: EOPNOTSUPP } : {});
        } else if (source.tables.has(step.forget as Nodeid)) source.forget(step.forget as Nodeid);
      }
      for (const event of source.events) {
        if (event.type !== 'lookup') continue;
        const trace = ask(source, { seq: String(event.seq) }).traces[0];
        expect(trace?.nodeid).toBe(String(event.nodeid));
        expect(trace?.steps.at(-1)).toMatch(new RegExp(`^Node ${event.nodeid} `));
        expect(trace?.steps.length).toBeLessThanOrEqual(MAX_STEPS);
        const current = trace?.rules.find((answer) => answer.current);
        expect(current).toMatchObject({ rule, hit: event.hit });
        const inserted = event.hit === 'miss' || event.hit === 'fallback_rejected';
        expect(current?.nodeid).toBe(inserted ? null : String(event.nodeid));
      }
    }),
    { numRuns: 50 },
  );
});

it('decide says what the tables would', () => {
  fc.assert(
    fc.property(steps, file, fc.constantFrom(...LOOKUP_RULE_NAMES), (all, asked, rule) => {
      const source = new Source('prefer', rule);
      for (const step of all) {
        if (!('forget' in step)) source.lookup('f', step);
        else if (source.tables.has(step.forget as Nodeid)) source.forget(step.forget as Nodeid);
      }
      const candidate = new Candidate();
      candidate.inoLow = asked.ino;
      candidate.devMajor = 7;
      candidate.mntId = 74;
      candidate.fd = NO_FD;
      candidate.handleType = 1;
      candidate.handleLength = asked.generation === null ? NO_HANDLE : 8;
      candidate.handleWords.set([asked.ino, asked.generation ?? 0]);
      // Tables that know the same entries and answer under any rule.
      const tables = new InodeTables(LOOKUP_RULES[rule]);
      tables.restore(source.tables.image());
      const nodeid = tables.explain(candidate);
      const { byHandle, byIds, hit } = tables.asked;
      const answer = decide(LOOKUP_RULES[rule], {
        hasHandle: asked.generation !== null,
        byHandle: byHandle === 0 ? null : byHandle,
        byIds: byIds === 0 ? null : byIds,
        idsKind: tables.entry(byIds)?.kind ?? null,
      });
      expect(answer).toMatchObject({ hit, nodeid: nodeid === 0 ? null : nodeid });
    }),
  );
});
