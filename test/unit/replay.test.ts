/** Recordings: what `events --json` prints is read back, folded, and played forth and back. */

import { describe, expect, it } from 'vitest';
import { errnoName } from '../../daemon/inspector/errnoName';
import { KeyMapView } from '../../daemon/inspector/keyMap';
import type { InspectorEvent } from '../../daemon/protocol/eventJson';
import { eventToJson, hazardToJson } from '../../daemon/protocol/eventJson';
import type { TourHeader } from '../../daemon/replay/recording';
import { parseRecording } from '../../daemon/replay/recording';
import { readEvent } from '../../daemon/replay/readEvent';
import { Replay } from '../../daemon/replay/replay';
import { tourGuide } from '../../daemon/replay/tourGuide';
import type { TableEvent } from '../../daemon/tables/events';
import type { Nodeid } from '../../daemon/tables/identity';
import { EOPNOTSUPP, ENOENT, ESTALE, Source } from './inspectorSource';
import { targetOf } from './target';

const FILE = 'recording.jsonl';
const lines = (events: readonly InspectorEvent[]) =>
  events.map((event) => JSON.stringify(eventToJson(event, errnoName))).join('\n');
const json = (event: InspectorEvent) =>
  JSON.parse(JSON.stringify(eventToJson(event, errnoName))) as unknown;

/** Reuse, caught (H1), seen by the guest (H2), and a lost key; and one file under two nodes. */
function eventful(): Source {
  const source = new Source();
  source.lookup('f', { ino: 12, generation: 1 });
  source.lookup('f', { ino: 12, generation: 2 });
  source.answerProbes(ESTALE);
  source.openByHandleFailed(2 as Nodeid, ESTALE);
  source.refuse('missing', ENOENT);
  source.lookup('foo', { ino: 20, generation: 1 });
  source.lookup('foo-link', { ino: 20, generation: null }, { handleErrno: EOPNOTSUPP });
  source.answerProbes(0);
  source.forget(2 as Nodeid);
  return source;
}

/** What a viewer can see of a model. */
function seen({ now: { model, history } }: Replay | { now: Source }): unknown {
  const all = { offset: 0, count: 120, query: '', unfolded: ['1'] };
  const window = new KeyMapView(model, history, all).window();
  return {
    window,
    counters: { ...model.counters, fds: null },
    hazards: model.hazards.list(100).map(hazardToJson),
  };
}

function replayOf(text: string): Replay {
  const { events } = parseRecording(text, FILE);
  return new Replay(targetOf(), events);
}

describe('reading', () => {
  it('gives back every event as it was', () => {
    const stamp = { seq: 7, time: 1_795_000_000_000 };
    const debugged: TableEvent[] = [
      { ...stamp, type: 'paused', op: 'LOOKUP', unique: 9, point: 'handle', reason: 'breakpoint' },
      { ...stamp, type: 'resumed', op: 'LOOKUP', unique: 9, reason: 'step' },
      {
        ...stamp,
        type: 'injected',
        op: 'LOOKUP',
        unique: 9,
        call: 'name_to_handle_at',
        errno: EOPNOTSUPP,
        fault: 1,
      },
      { ...stamp, type: 'destroy' },
    ];
    const source = eventful();
    const [lookup] = source.events.filter((event) => event.type === 'lookup');
    const odd: TableEvent = {
      ...lookup!,
      name: Uint8Array.from([0x66, 0x5c, 0xff, 0xc3, 0xa4, 0x5c, 0x78]),
      unique: 2 ** 40,
      mode: 0o100644,
      probe: 'same',
      spare: {
        btime: { seconds: 1_795_000_000, nanoseconds: 42 },
        subvol: 257,
        nlink: 2,
        mntIdUnique: 2_147_484_887,
        fsType: 0x9123683e,
      },
    };
    const derived = ['hazard', 'hazard_closed', 'name_changed'];
    const plain = source.events.filter(({ type }) => !derived.includes(type));
    for (const event of [...plain, ...debugged, odd]) {
      const bytes = 'name' in event ? { name: Uint8Array.from(event.name) } : {};
      expect(readEvent(json(event))).toEqual({ ...event, ...bytes });
    }
  });

  it('names the line that is wrong, and how', () => {
    const good = lines(eventful().events).split('\n');
    const at = (line: number, text: string) =>
      good.map((known, i) => (i === line - 1 ? text : known)).join('\n');
    expect(() => parseRecording(at(3, '{"seq":"3"'), FILE)).toThrow(
      /^Line 3 of recording.jsonl is no recorded event: /,
    );
    expect(() => parseRecording(at(3, good[3]!), FILE)).toThrow('it has the number 4, after 2');
    expect(() => parseRecording(at(2, good[1]!.replace('insert', 'grow')), FILE)).toThrow(
      'no event has the type “grow”',
    );
    expect(() => parseRecording(at(2, good[1]!.replace('"1"', '"-1"')), FILE)).toThrow('nodeid');
    expect(() => parseRecording(good.slice(1).join('\n'), FILE)).toThrow('begins in the middle');
    expect(() => parseRecording('', FILE)).toThrow('There are no events');
    const resync = json({ type: 'resync', seq: 2, time: 0, entries: 3 });
    expect(() => parseRecording(at(2, JSON.stringify(resync)), FILE)).toThrow('events were lost');
  });

  it('guesses no more than the stream tells', () => {
    expect(parseRecording(lines(eventful().events), FILE)).toMatchObject({
      tour: null,
      target: {
        kind: 'replay',
        sharedDir: FILE,
        inodeFileHandles: { requested: 'prefer', effective: 'prefer' },
      },
    });
    const without = new Source('never');
    without.tables.clear();
    const [init] = without.events;
    expect(parseRecording(lines([init!]), FILE).target.inodeFileHandles.effective).toBe('never');
  });
});

describe('playing', () => {
  it('leads to what the daemon had, findings of its probes included', () => {
    const source = eventful();
    const replay = replayOf(lines(source.events));
    replay.playTo(Infinity);
    expect(seen(replay)).toEqual(seen({ now: source }));
    expect(lines(replay.now.history.from(1, 1_000))).toBe(lines(source.events));
  });

  it('leads to the same place from wherever one comes', () => {
    const text = lines(eventful().events);
    const last = eventful().events.length;
    const places = Array.from({ length: last }, (_, i) => {
      const fresh = replayOf(text);
      expect(fresh.playTo(i + 1)).toBe(false);
      return seen(fresh);
    });
    const wanderer = replayOf(text);
    for (const seq of [5, last, 3, 4, 1, last, 9]) {
      wanderer.playTo(seq);
      expect(seen(wanderer)).toEqual(places[seq - 1]);
    }
  });

  it('says which event does not fit', () => {
    const { events } = eventful();
    const insert = events.findIndex((event) => event.type === 'insert' && event.nodeid === 2);
    const broken = events
      .filter((_, i) => i !== insert)
      .map((event, i) => ({ ...event, seq: i + 1 }));
    expect(() => replayOf(lines(broken)).playTo(Infinity)).toThrow(/^Event \d+ does not fit/);
  });
});

describe('a tour', () => {
  const step = (after: number, title: string) => ({
    after: String(after),
    title,
    text: 'What is to be seen.',
    nodeids: [],
    hazards: [],
  });
  const header: TourHeader = {
    title: 'Reuse',
    summary: 'A number comes back.',
    steps: [step(2, 'The root'), step(4, 'f'), step(11, 'f again')],
  };

  it('shows a step at a time, and begins anew to go back', () => {
    const replay = replayOf(lines(eventful().events));
    const told: string[] = [];
    const guide = tourGuide(header, replay, {
      startOver: () => told.push('anew'),
      moved: () => told.push(`step ${guide.step}`),
    });
    expect(guide.state()).toMatchObject({ title: 'Reuse', step: 0 });
    expect(guide.state().steps[1]).toEqual({
      title: 'f',
      text: 'What is to be seen.',
      nodeids: [],
      hazards: [],
    });
    expect(replay.now.model.tables.size).toBe(1);
    expect(guide.go(2).step).toBe(2);
    expect(replay.now.model.tables.size).toBe(3);
    expect(guide.go(1).step).toBe(1);
    expect(replay.now.model.tables.size).toBe(2);
    expect(guide.go(99).step).toBe(2);
    expect(told).toEqual(['step 2', 'anew', 'step 1', 'step 2']);
  });
});
