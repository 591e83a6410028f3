/** A guest that forgets more than it looked up (H29): what no kernel does. */

import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { connect, findTarget } from '../../daemon/inspector/connect';
import type { Connection } from '../../daemon/inspector/connect';
import type { EventJson } from '../../daemon/protocol/json';
import type { Daemon } from './daemons';
import { stopDaemons } from './daemons';
import type { Frontend } from './frontend';
import { served, works } from './served';

let daemon: Daemon;
let guest: Frontend;
let inspector: Connection;
let events: EventJson[];
let arrived: () => void;

beforeEach(async () => {
  ({ daemon, fs: guest } = await served({}, { handles: 'prefer', inspector: true }));
  inspector = await connect(
    findTarget(String(daemon.pid), () => undefined),
    'over-forget',
  );
  events = [];
  arrived = () => undefined;
  inspector.client.on('events', (batch) => {
    events.push(...batch.events);
    arrived();
  });
  await inspector.client.call('events.follow', { from: '1' });
});
afterEach(async () => {
  inspector.close();
  await stopDaemons();
});
afterAll(stopDaemons);

/** The first event, past or to come, that passes; the test's own time limit ends the wait. */
async function event(passes: (event: EventJson) => boolean): Promise<EventJson> {
  for (;;) {
    const found = events.find(passes);
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => (arrived = resolve));
  }
}

const hazards = async () =>
  (await inspector.client.call('hazards', { state: 'open', count: 100 })).hazards;

it('tells how many it wanted to forget, and how many there were', async () => {
  const { nodeid } = await guest.lookup(1n, 'f1');
  await guest.lookup(1n, 'f1');
  await guest.forget(nodeid, 5);
  expect(await event(({ type }) => type === 'over_forget')).toMatchObject({
    nodeid: String(nodeid),
    count: '5',
    lookups: '2',
  });
  await event(({ type }) => type === 'hazard');
  expect(await hazards()).toMatchObject([
    { id: 'H29', severity: 'error', evidence: { forgotten: '5', lookups: '2' } },
  ]);
  await expect(guest.getattr(nodeid)).rejects.toThrow(/EBADF|9/);
  // A session's end is the end of it.
  await guest.destroy();
  await event(({ type }) => type === 'hazard_closed');
  expect(await hazards()).toEqual([]);
});

it('tells of a node that is not there', async () => {
  await guest.forget(4711n, 1);
  expect(await event(({ type }) => type === 'over_forget')).toMatchObject({
    nodeid: '4711',
    count: '1',
    lookups: '0',
  });
});

it('tells that the root is gone', async () => {
  await guest.forget(1n, 2);
  await event(({ type }) => type === 'hazard');
  expect(await hazards()).toMatchObject([
    { id: 'H29', severity: 'error', evidence: { node: '1' } },
  ]);
  await expect(guest.lookup(1n, 'f1')).rejects.toThrow(/EBADF|9/);
});

it('says nothing about a guest that counts right', async () => {
  for (let i = 0; i < 5; i++) await works(guest);
  const { nodeid } = await guest.lookup(1n, 'f39');
  await event((one) => one.type === 'insert' && one['nodeid'] === String(nodeid));
  expect(await hazards()).toEqual([]);
  expect(events.filter(({ type }) => type === 'over_forget')).toEqual([]);
});
