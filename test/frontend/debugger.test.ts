/** The debugger on our daemon as a virtual machine's: held requests, and what a VMM does meanwhile. */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DebugSession } from '../filesystem/debugSession';
import { attach } from '../filesystem/debugSession';
import { daemonProgram, ext4 } from '../filesystem/harness';
import { newFolder } from '../scenarios/share';
import type { Daemon } from './daemons';
import { startDaemon, stopDaemons } from './daemons';
import type { Frontend } from './frontend';

let daemon: Daemon;
let guest: Frontend;
let session: DebugSession;

beforeEach(async () => {
  const shared = newFolder(await ext4());
  for (const name of ['a', 'b']) fs.writeFileSync(path.join(shared, name), `content of ${name}`);
  const program = await daemonProgram();
  daemon = startDaemon('ours', shared, { handles: 'prefer', inspector: true, program });
  guest = await daemon.connect({ requestQueues: 2 });
  await guest.init();
  session = await attach(daemon.pid);
});
afterEach(async () => {
  session.close();
  await stopDaemons();
});

/** Whether a promise has come to its end. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  const no = Symbol('no');
  return (await Promise.race([promise, Promise.resolve(no)])) !== no;
}

it('holds a lookup while other requests of the guest are answered', async () => {
  await session.arm({ operation: 'LOOKUP', path: 'a' });
  const held = guest.lookup(1n, 'a');
  let stop = await session.stops.next();
  const b = await guest.lookup(1n, 'b');
  const { fh } = await guest.open(b.nodeid, 2);
  expect(Buffer.from(await guest.read(b.nodeid, fh, 0, 100)).toString()).toBe('content of b');
  while (stop.point !== 'reply') stop = await session.step(stop);
  expect(await isDone(held)).toBe(false);
  expect(stop.facts.answer).toBe('3');
  await session.continue();
  expect((await held).nodeid).toBe(3n);
  expect(guest.vmm.socket.complaints).toEqual([]);
});

it('holds a write whose data stays in guest memory, and a read', async () => {
  const { nodeid } = await guest.lookup(1n, 'a');
  const { fh } = await guest.open(nodeid, 2);
  await session.arm({ operation: 'WRITE', condition: 'offset == 3' }, { operation: 'READ' });
  const first = guest.write(nodeid, fh, 3, Buffer.alloc(100_000, 'x'));
  await session.stops.next();
  await guest.write(nodeid, fh, 0, Buffer.from('abc'));
  expect(fs.readFileSync(path.join(daemon.shared, 'a'), 'utf8')).toBe('abctent of a');
  await session.continue();
  await first;
  const second = guest.read(nodeid, fh, 0, 8);
  let stop = await session.stops.next();
  stop = await session.step(stop, 'out');
  expect(stop).toMatchObject({ op: 'READ', point: 'reply', facts: { size: '8', offset: '0' } });
  await guest.lookup(1n, 'b');
  await session.continue();
  expect(Buffer.from(await second).toString()).toBe('abcxxxxx');
});

it('lets everything go before a ring is taken back, and goes on when it is given again', async () => {
  await session.arm({ operation: 'LOOKUP' });
  const both = [guest.lookup(1n, 'a'), guest.lookup(1n, 'b')];
  await session.stops.next();
  await session.stops.next();
  await guest.vmm.stop();
  // Whoever stops a ring must find nothing under way in it.
  await Promise.all(both);
  expect((await session.resumed.next()).reason).toBe('session');
  expect((await session.resumed.next()).reason).toBe('session');
  await session.arm();
  await guest.vmm.start();
  expect((await guest.lookup(1n, 'a')).nodeid).toBeGreaterThan(1n);
});

it('lets a held forget go when the session ends, and everything when the VMM does', async () => {
  const { nodeid } = await guest.lookup(1n, 'a');
  await session.arm({ operation: 'FORGET' });
  const forget = guest.forget(nodeid, 1);
  await session.stops.next();
  await guest.destroy();
  await forget;
  expect((await session.resumed.next()).reason).toBe('session');
  await guest.init();
  await session.arm({ operation: 'LOOKUP' });
  const lost = guest.lookup(1n, 'b').catch(() => null);
  await session.stops.next();
  await guest.close();
  await lost;
  expect(await daemon.ended()).toBe(0);
});

it('ends when it is told to while a request is held', async () => {
  await session.arm({ operation: 'LOOKUP' });
  const held = guest.lookup(1n, 'a');
  await session.stops.next();
  expect(await daemon.stop()).toBe(0);
  expect((await held).nodeid).toBe(2n);
});
