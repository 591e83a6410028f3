/** The inspector's thread keeps up with the ring, and finds back when it could not. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { LiveModel } from '../../daemon/inspector/liveModel';
import { RingFollower } from '../../daemon/inspector/ringFollower';
import { Candidate } from '../../daemon/tables/candidate';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import type { VolumeFacts } from '../../daemon/tables/recorder';
import { LookupTrace } from '../../daemon/tables/recorder';
import { makeRing, RingWriter } from '../../daemon/trace/eventRing';
import { RingRecorder } from '../../daemon/trace/record';
import { targetOf } from './target';

const name = new TextEncoder().encode('f');

let tables: InodeTables;
let writer: RingWriter;
let recorder: RingRecorder;
let model: LiveModel;
let history: EventHistory;
let follower: RingFollower;
let warnings: string[];
/** Called at the next change of the model. */
let changed: () => void;

beforeEach(() => {
  const ring = makeRing(2_048);
  tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  writer = new RingWriter(ring, () => setImmediate(() => follower.woken()));
  recorder = new RingRecorder(writer, tables);
  warnings = [];
  changed = () => undefined;
  const volumes = new Map<number, VolumeFacts>();
  history = new EventHistory(volumes);
  model = new LiveModel(targetOf(), {
    event: (event) => history.push(event),
    probe: () => undefined,
  });
  follower = new RingFollower(
    ring,
    model,
    history,
    volumes,
    {
      changed: () => changed(),
      // What the worker does when its control descriptor is signalled.
      askForTables: () =>
        setImmediate(() => {
          const { head } = writer;
          writer.restart();
          follower.restore(structuredClone(tables.image()), head);
        }),
    },
    { info: () => undefined, warn: (text) => warnings.push(text) },
  );
  follower.woken();
});

afterEach(() => follower.stop());

function lookUp(ino: number): void {
  const trace = new LookupTrace();
  trace.parent = 1 as Nodeid;
  trace.nameBuffer = name;
  trace.nameLength = name.length;
  trace.candidate = new Candidate();
  trace.candidate.inoLow = ino;
  trace.candidate.fd = 100;
  trace.identified = true;
  trace.asked = true;
  const claimed = tables.claim(trace.candidate);
  trace.inserted = claimed === 0;
  trace.nodeid = claimed === 0 ? tables.insert(trace.candidate) : claimed;
  recorder.lookup(trace);
}

/** Resolves when the model has as many entries as the tables. */
function caughtUp(): Promise<void> {
  return new Promise((resolve) => {
    changed = () => {
      if (model.tables.size === tables.size) resolve();
    };
  });
}

it('is woken by what is written while it sleeps', async () => {
  const done = caughtUp();
  lookUp(1);
  await done;
  const again = caughtUp();
  lookUp(2);
  await again;
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
});

it('reads the tables anew when the ring was full', async () => {
  const done = caughtUp();
  for (let ino = 1; ino <= 500; ino++) lookUp(ino);
  await done;
  expect(warnings).toEqual([expect.stringContaining('faster than they could be followed')]);
  const again = caughtUp();
  lookUp(501);
  await again;
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
  expect(warnings).toHaveLength(1);
});

it('reads the tables anew when a record does not fit, and leaves out what is older', async () => {
  const done = caughtUp();
  lookUp(1);
  await done;
  const again = caughtUp();
  // A forget of a node that nobody has: a source with a bug.
  tables.forget(2 as Nodeid, 0);
  recorder.forget(77 as Nodeid, 1, 'FORGET');
  lookUp(2);
  lookUp(3);
  await again;
  expect(warnings).toEqual([expect.stringContaining('node 77')]);
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
  lookUp(4);
  await caughtUp();
  expect([...model.tables.entries()]).toEqual([...tables.entries()]);
  expect(history.from(1, 1_000).filter(({ type }) => type === 'resync')).toHaveLength(1);
});
