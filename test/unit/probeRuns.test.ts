/** Runs of probes: what is asked for, how far it is, how it ends. */

import { afterEach, expect, it, vi } from 'vitest';
import type { Debugger } from '../../daemon/inspector/debugLease';
import { unconfinedView } from '../../daemon/passthrough/hostView';
import type { ProbeProgress } from '../../daemon/protocol/probe';
import { ProbeRuns } from '../../daemon/probeRuns';
import type { Nodeid } from '../../daemon/tables/identity';
import { Source } from './inspectorSource';

const ENTRIES = 1_000;
const runs: ProbeRuns[] = [];
afterEach(() => {
  for (const run of runs.splice(0)) run.close();
});

/** A daemon whose file system's thread answers when the test lets it. */
function start() {
  const source = new Source();
  for (let i = 0; i < ENTRIES; i++) source.lookup(`f${i}`, { ino: 100 + i, generation: 1 });
  const asked: { readonly question: number; readonly nodeids: readonly Nodeid[] }[] = [];
  const ask = vi.fn(
    (question: number, nodeids: readonly Nodeid[]) => void asked.push({ question, nodeids }),
  );
  const run = new ProbeRuns(source.model, unconfinedView('/'), {
    ask,
    whenCaughtUp: (then) => then(),
    changed: () => undefined,
  });
  runs.push(run);
  const answer = () => {
    const next = asked.shift();
    if (next === undefined) return;
    const errnoOf = (nodeid: Nodeid) => (nodeid === 5 ? 116 : 0);
    const answers = next.nodeids.map((nodeid) => ({ nodeid, errno: errnoOf(nodeid), held: null }));
    run.answered(next.question, answers);
  };
  return { run, ask, answer };
}

function client(name: string): Debugger & { readonly heard: ProbeProgress[] } {
  const heard: ProbeProgress[] = [];
  return {
    client: name,
    heard,
    notify: (method, params) => {
      if (method === 'probe') heard.push(params as ProbeProgress);
    },
  };
}

it('asks for few at a time, waits for the answer, and ends with what it has counted', async () => {
  const { run, ask, answer } = start();
  const owner = client('one');
  expect(run.start(owner, { all: true })).toEqual({ of: ENTRIES + 1 });
  while (owner.heard.at(-1)?.state !== 'done') {
    const calls = ask.mock.calls.length;
    await vi.waitUntil(
      () => ask.mock.calls.length > calls || owner.heard.at(-1)?.state === 'done',
      { timeout: 20_000 },
    );
    answer();
  }
  const asked = ask.mock.calls.flatMap(([, nodeids]) => nodeids);
  expect(new Set(asked).size).toBe(ENTRIES + 1);
  expect(ask.mock.calls.every(([, nodeids]) => nodeids.length <= 64)).toBe(true);
  expect(owner.heard.at(-1)).toEqual({
    state: 'done',
    done: ENTRIES + 1,
    of: ENTRIES + 1,
    failed: 1,
    different: 0,
  });
  const counts = owner.heard.map(({ done }) => done);
  expect(counts).toEqual([...counts].sort((a, b) => a - b));
});

it('one at a time; only its owner ends it; then the next may begin', async () => {
  const { run, ask, answer } = start();
  const [owner, other] = [client('one'), client('two')];
  run.start(owner, { all: true });
  expect(() => run.start(other, { all: true })).toThrow(/probed for one/);
  await vi.waitUntil(() => ask.mock.calls.length === 1, { timeout: 20_000 });
  run.stop(other);
  expect(owner.heard).toEqual([]);
  run.stop(owner);
  expect(owner.heard).toMatchObject([{ state: 'cancelled', done: 0, of: ENTRIES + 1 }]);

  // The answer to what the first had asked is judged, and counted for nobody.
  run.start(other, { nodeid: '7' });
  answer();
  await vi.waitUntil(() => ask.mock.calls.length === 2, { timeout: 20_000 });
  expect(ask.mock.calls[1]?.[1]).toEqual([7]);
  answer();
  await vi.waitUntil(() => other.heard.at(-1)?.state === 'done', { timeout: 20_000 });
  expect(other.heard.at(-1)).toMatchObject({ done: 1, of: 1, failed: 0 });
  expect(owner.heard).toHaveLength(1);
});

it('says what cannot be tried', () => {
  const { run } = start();
  for (const request of [{ nodeid: '5000' }, { directory: '5000' }]) {
    expect(() => run.start(client('one'), request)).toThrow(/not in the tables/);
  }
});
