/** The debugger on a real mount: programs wait, others go on, and nobody is forgotten. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DebugSession } from './debugSession';
import { attach, follow, observe, pointText, run } from './debugSession';
import type { Share } from './harness';
import { must, serve, stopAll } from './harness';

let share: Share;
let session: DebugSession;

beforeEach(async () => {
  share = await serve({ handles: 'prefer' });
  fs.writeFileSync(path.join(share.shared, 'f'), 'content');
  session = await attach(share.pid);
});
afterEach(async () => {
  session.close();
  await stopAll();
});

const at = (name: string) => path.join(share.mount, name);
const host = (name: string) => path.join(share.shared, name);
const cat = (name: string) => run('cat', at(name));

it('holds one program while others work and observers look', async () => {
  fs.writeFileSync(host('g'), 'other');
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const held = cat('f');
  const stop = await session.stops.next();
  expect(stop).toMatchObject({
    op: 'LOOKUP',
    point: 'request',
    reason: 'breakpoint',
    breakpoints: [1],
    facts: { node: '1', parent: '1', name: 'f', path: 'f', candidate: null, byHandle: null },
  });
  expect(must(share, 'cat g; echo made > new; cat new; ls | wc -l; rm new')).toBe('other\nmade\n4');
  const observer = await observe(share.pid);
  const { debugger: who } = await observer.client.call('status.watch', {});
  expect(who).toMatchObject({ client: 'test', held: 1, breakpoints: 1 });
  const snapshot = await observer.client.call('snapshot', {});
  expect(snapshot.entries.map(({ path: name }) => name)).toContain('g');
  expect(snapshot.entries.map(({ path: name }) => name)).not.toContain('f');
  observer.close();
  expect(held.running).toBe(true);
  await session.continue();
  expect(await held.done).toMatchObject({ status: 0, stdout: 'content' });
});

it('steps through the decisions of a first lookup and of a second', async () => {
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const first = cat('f');
  const points: string[] = [];
  let stop = await session.stops.next();
  for (;;) {
    points.push(stop.point);
    if (stop.point === 'reply') break;
    stop = await session.step(stop);
  }
  expect(points).toEqual([
    ...['request', 'parent', 'opened', 'identified', 'handle'],
    ...['by_handle', 'by_ids', 'inserted', 'reply'],
  ]);
  expect(stop.facts).toMatchObject({ hit: 'miss', answer: '2', byIds: { node: null } });
  await session.continue();
  expect((await first.done).stdout).toBe('content');

  // The second program's lookup comes when the first one's name is no longer cached.
  await session.arm({ operation: 'LOOKUP', path: 'f', condition: 'point == "request"' });
  fs.utimesSync(host('.'), 0, 0);
  spawnSync('sleep', ['1.1']);
  const second = cat('f');
  const again: string[] = [];
  for (stop = await session.stops.next(); ; stop = await session.step(stop)) {
    again.push(stop.point);
    if (stop.point === 'reply') break;
  }
  expect(again.slice(4)).toEqual(['handle', 'by_handle', 'claimed', 'reply']);
  expect(stop.facts).toMatchObject({ hit: 'handle_hit', answer: '2' });
  await session.continue();
  expect((await second.done).stdout).toBe('content');
});

it('the seed scenario: a hard link, ENOMEM, then EOPNOTSUPP', async () => {
  const { events, close } = await follow(share.pid);
  fs.linkSync(host('f'), host('f-link'));
  expect(must(share, 'cat f')).toBe('content');

  await session.inject({
    call: 'name_to_handle_at',
    errno: 'ENOMEM',
    path: 'f-link',
    when: { kind: 'next' },
  });
  await session.arm({ operation: 'LOOKUP', path: 'f-link', decision: 'handle' });
  const refused = cat('f-link');
  let stop = await session.stops.next();
  expect(stop).toMatchObject({ point: 'handle', faults: [1] });
  expect(stop.facts.candidate).toMatchObject({ handle: null, handleErrno: 'ENOMEM', nlink: 2 });
  stop = await session.step(stop);
  expect(stop).toMatchObject({ point: 'reply', facts: { errno: 'ENOMEM', hit: 'error' } });
  await session.continue();
  expect((await refused.done).stderr).toContain('Cannot allocate memory');

  await session.inject({
    call: 'name_to_handle_at',
    errno: 'EOPNOTSUPP',
    path: '**/f-link',
    when: { kind: 'next' },
  });
  await session.arm({ operation: 'LOOKUP', path: 'f-link' });
  const linked = cat('f-link');
  const points: string[] = [];
  for (stop = await session.stops.next(); ; stop = await session.step(stop)) {
    points.push(pointText(stop));
    if (stop.point === 'reply') break;
  }
  expect(points.slice(4)).toEqual([
    'LOOKUP handle',
    'LOOKUP by_ids',
    'LOOKUP fallback rejected',
    'LOOKUP inserted',
    'LOOKUP reply',
  ]);
  expect(stop.facts).toMatchObject({
    hit: 'fallback_rejected',
    byIds: { node: '2' },
    answer: '3',
    idsStolenFrom: '2',
  });
  // What the guest is about to be told stands in the tables already.
  const { inodes_by_ids, hazards } = await session.client.call('snapshot', {});
  expect(inodes_by_ids.map(({ nodeid }) => nodeid)).toEqual(['1', '3']);
  expect(hazards.map(({ id }) => id)).toContain('H5');
  await session.continue();
  expect((await linked.done).stdout).toBe('content');

  const injected = await events.until(({ type }) => type === 'injected');
  expect(injected).toMatchObject({ op: 'LOOKUP', call: 'name_to_handle_at', errno: 'ENOMEM' });
  expect(await events.until(({ type }) => type === 'paused')).toMatchObject({ point: 'handle' });
  expect(await events.until(({ type }) => type === 'resumed')).toMatchObject({ reason: 'step' });
  const { faults } = await session.client.call('debug.inspect', {});
  expect(faults).toMatchObject([{ errno: 'EOPNOTSUPP', struck: 1, usedUp: true }]);
  close();
});
