/** Hazards that stand for as long as they are found, and those of node ids and counts. */

import { describe, expect, it } from 'vitest';
import type { GrowthSample, MountResource, Resources } from '../../daemon/hazards/resources';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { LiveModel } from '../../daemon/inspector/liveModel';
import type { Nodeid } from '../../daemon/tables/identity';
import { ROOT_NODEID } from '../../daemon/tables/identity';
import { Source } from './inspectorSource';
import { targetOf } from './target';

const MINUTE = 60_000;
const NOTHING: Resources = {
  time: 1_000_000,
  mounts: [],
  twins: [],
  descriptors: { used: 0, limit: 1000, refused: 0, lastRefused: null },
  zombies: [],
  growth: [],
};
const MOUNT: MountResource = {
  mntId: 74,
  point: '/srv/share',
  mounted: true,
  files: 0,
  handles: 3,
  refused: null,
};

/** Ids and severities of what is open after each of several looks at the host. */
function looks(...seen: Partial<Resources>[]): string[][] {
  const { hazards } = new Source().model;
  return seen.map((resources, index) => {
    hazards.standing({ ...NOTHING, ...resources }, index);
    return hazards.list(Infinity).map(({ id, severity }) => `${id} ${severity}`);
  });
}

describe('mounts', () => {
  it('twins are information, once a pair of mounts, for as long as there are any', () => {
    const twins = (pairs: number) => [
      { low: 74, high: 78, pairs, example: [3, 5] as [Nodeid, Nodeid] },
    ];
    expect(looks({ twins: twins(1) }, { twins: twins(500) }, {})).toEqual([
      ['H18 information'],
      ['H18 information'],
      [],
    ]);
  });

  it('a mount that is gone is pinned by entries, and by nothing else', () => {
    const gone = { ...MOUNT, mounted: false };
    expect(
      looks(
        { mounts: [MOUNT] },
        { mounts: [{ ...MOUNT, mounted: null }] },
        { mounts: [gone] },
        { mounts: [{ ...gone, handles: 0, files: 1 }] },
        { mounts: [{ ...gone, handles: 0 }] },
      ),
    ).toEqual([[], [], ['H19 resource'], ['H19 resource'], []]);
  });

  it('one that refuses is an error until it does no longer', () => {
    const refused = { errno: 5, parent: ROOT_NODEID, name: 'm' };
    expect(looks({ mounts: [{ ...MOUNT, refused }] }, { mounts: [MOUNT] })).toEqual([
      ['H20 error'],
      [],
    ]);
  });
});

describe('descriptors', () => {
  const used = (count: number, lastRefused: number | null = null) => ({
    descriptors: { used: count, limit: 1000, refused: 0, lastRefused },
  });

  it('are said to run out above 80 %, and no longer below 70 %', () => {
    expect(looks(used(800), used(801), used(701), used(700), used(701))).toEqual([
      [],
      ['H23 resource'],
      ['H23 resource'],
      [],
      [],
    ]);
  });

  it('an ENFILE is an error for a minute, then what is left of it', () => {
    const at = NOTHING.time;
    expect(
      looks(
        used(801),
        used(990, at),
        { ...used(990, at), time: at + MINUTE },
        { ...used(10, at), time: at + MINUTE },
      ),
    ).toEqual([['H23 resource'], ['H23 error'], ['H23 resource'], []]);
  });

  it('a guest that may have none has none to lose', () => {
    expect(looks({ descriptors: { used: 0, limit: 0, refused: 0, lastRefused: null } })).toEqual([
      [],
    ]);
  });
});

describe('zombies', () => {
  const zombies = (count: number, bytes: number, age: number) => ({
    zombies: [{ directory: ROOT_NODEID, path: '.', count, bytes, since: NOTHING.time - age }],
  });

  it('matter when they are many or large, and not just made', () => {
    expect(
      looks(
        zombies(99, 1024 * 1024 - 1, 10_000),
        zombies(100, 0, 4_999),
        zombies(100, 0, 5_000),
        zombies(1, 1024 * 1024, 5_000),
        {},
      ),
    ).toEqual([[], [], ['H24 resource'], ['H24 resource'], []]);
  });
});

describe('growth', () => {
  /** A sample a minute, the entries and forgets as a function of the minute. */
  const hour = (
    entries: (minute: number) => number,
    forgets: (minute: number) => number = () => 0,
    minutes = 60,
  ): Partial<Resources> => ({
    growth: Array.from({ length: minutes + 1 }, (_, minute): GrowthSample => ({
      time: minute * MINUTE,
      entries: entries(minute),
      descriptors: 0,
      forgets: forgets(minute),
    })),
  });

  it.each<[string, Partial<Resources>, string[]]>([
    ['an hour of it, nothing forgotten', hour((m) => 50_000 + 2_000 * m), ['H25 resource']],
    ['a walk through a large tree, then nothing', hour((m) => Math.min(m, 15) * 60_000), []],
    ['a walk at the end of the hour', hour((m) => 1_000 + Math.max(0, m - 50) * 60_000), []],
    ['a full cache, in which old entries make room', hour((m) => 900_000 + 100 * (m % 7)), []],
    [
      'a build that grows while the guest forgets',
      hour(
        (m) => 50_000 + 2_000 * m,
        (m) => 100 * m,
      ),
      [],
    ],
    ['a small table', hour((m) => 1_000 + 1_000 * m), []],
    ['slow growth of a large one', hour((m) => 5_000_000 + 1_000 * m), []],
    ['less than an hour', hour((m) => 50_000 + 10_000 * m, undefined, 59), []],
    ['a session that ended and began', hour((m) => (m === 30 ? 0 : 50_000 + 2_000 * m)), []],
  ])('%s', (_, resources, expected) => {
    expect(looks(resources)).toEqual([expected]);
  });
});

describe('node ids and counts', () => {
  it('one that is given again after a forget is reuse, in another daemon’s stream', () => {
    const source = new Source();
    source.lookup('one', { ino: 12, generation: 7 });
    source.forget(2 as Nodeid);
    source.lookup('two', { ino: 13, generation: 8 });
    const judged = (kind: 'replay' | 'serve', renamed: (nodeid: Nodeid) => Nodeid) => {
      const history = new EventHistory(new Map());
      const model = new LiveModel(
        { ...targetOf(), kind },
        { event: (event) => history.push(event), probe: () => undefined },
      );
      for (const event of source.events) {
        if (event.type === 'lookup' && event.nodeid !== null) {
          model.fold({ ...event, seq: model.nextSeq++, nodeid: renamed(event.nodeid) });
        } else if (event.type === 'insert' || event.type === 'forget' || event.type === 'remove') {
          model.fold({ ...event, seq: model.nextSeq++, nodeid: renamed(event.nodeid) });
        }
      }
      return model.hazards.list(Infinity).map(({ id, nodeids }) => [id, nodeids]);
    };
    expect(judged('replay', (nodeid) => Math.min(nodeid, 2) as Nodeid)).toEqual([['H28', [2]]]);
    expect(judged('replay', (nodeid) => nodeid)).toEqual([]);
  });

  it('a guest that forgets too much is told of once, until the session ends', () => {
    const source = new Source();
    const { model } = source;
    const overForget = (nodeid: number, count: number, lookups: number) =>
      model.fold({
        type: 'over_forget',
        seq: model.nextSeq++,
        time: 1,
        nodeid: nodeid as Nodeid,
        count,
        lookups,
      });
    for (let i = 0; i < 1_000; i++) overForget(2 + i, 5, 0);
    expect(model.hazards.totals).toEqual({ H29: 1 });
    source.destroy();
    expect(model.hazards.totals).toEqual({});
  });
});

describe('names', () => {
  const changes = (source: Source) =>
    source.events.flatMap((event) =>
      event.type === 'name_changed' ? [[event.from, event.to]] : [],
    );

  it('lead elsewhere, and the hazard ends with the old entry', () => {
    const source = new Source();
    source.lookup('doc', { ino: 12, generation: 7 });
    source.lookup('doc', { ino: 13, generation: 8 });
    expect(changes(source)).toEqual([[2, 3]]);
    expect(source.model.hazards.totals).toEqual({ H34: 1 });
    source.forget(3 as Nodeid);
    expect(source.model.hazards.totals).toEqual({ H34: 1 });
    source.forget(2 as Nodeid);
    expect(source.model.hazards.totals).toEqual({});
  });

  it('lead back: each change is told once', () => {
    const source = new Source();
    for (const ino of [12, 13, 12, 12, 12, 13, 13]) {
      source.lookup('doc', { ino, generation: 7 });
    }
    expect(changes(source)).toEqual([
      [2, 3],
      [3, 2],
      [2, 3],
    ]);
  });

  it('of two links to one file, of a forgotten file, and of a name that was gone are no change', () => {
    const source = new Source();
    source.lookup('a', { ino: 12, generation: 7 });
    source.lookup('b', { ino: 12, generation: 7 });
    source.lookup('a', { ino: 12, generation: 7 });
    source.forget(2 as Nodeid, 3);
    source.lookup('a', { ino: 13, generation: 8 });
    source.refuse('a', 2);
    source.lookup('a', { ino: 14, generation: 9 });
    expect(changes(source)).toEqual([]);
  });

  it('that the guest itself made, moved or removed are no change', () => {
    for (const op of ['UNLINK', 'RENAME', 'RMDIR'] as const) {
      const source = new Source();
      source.lookup('doc', { ino: 12, generation: 7 });
      source.lookup('doc', { ino: 12, generation: 7 }, { op });
      source.lookup('doc', { ino: 13, generation: 8 });
      expect(changes(source)).toEqual([]);
    }
    const source = new Source();
    source.lookup('doc', { ino: 12, generation: 7 });
    source.lookup('doc', { ino: 13, generation: 8 }, { op: 'CREATE' });
    expect(changes(source)).toEqual([]);
    // A name that came back is followed again.
    source.refuse('doc', 2);
    source.lookup('doc', { ino: 13, generation: 8 });
    source.lookup('doc', { ino: 14, generation: 9 });
    expect(changes(source)).toEqual([[3, 4]]);
  });
});
