/** The debugger on our daemon as a virtual machine's: held requests, and what a VMM does meanwhile. */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FAULT_CALLS, STOP_POINTS } from '../../daemon/tables/stops';
import type { DebugSession } from '../filesystem/debugSession';
import { attach } from '../filesystem/debugSession';
import { daemonProgram, ext4 } from '../filesystem/harness';
import { newFolder } from '../scenarios/share';
import type { Daemon, DaemonOptions } from './daemons';
import { startDaemon, stopDaemons } from './daemons';
import type { Frontend } from './frontend';

let daemon: Daemon;
let guest: Frontend;
let session: DebugSession;

async function start(options: DaemonOptions = {}): Promise<void> {
  const shared = newFolder(await ext4());
  for (const name of ['a', 'b']) fs.writeFileSync(path.join(shared, name), `content of ${name}`);
  const program = await daemonProgram();
  daemon = startDaemon('ours', shared, { handles: 'prefer', inspector: true, program, ...options });
  guest = await daemon.connect({ requestQueues: 2 });
  await guest.init();
  session = await attach(daemon.pid);
}

beforeEach(() => start());
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
  expect((await session.resumed.next()).reason).toBe('ended');
  expect((await session.over).reason).toBe('ended');
});

it('ends when it is told to while a request is held', async () => {
  await session.arm({ operation: 'LOOKUP' });
  const held = guest.lookup(1n, 'a');
  await session.stops.next();
  expect(await daemon.stop()).toBe(0);
  expect((await held).nodeid).toBe(2n);
});

// Stepwise, a lookup is made of other system calls than in one go, and a kernel that meets one which
// is not on the list kills the daemon.
describe.each([
  ['prefer', []],
  ['mandatory', ['fallback']],
  ['never', ['by_handle']],
] as const)('confined as it is by default (%s)', (handles, notPassed) => {
  /** The root's folder d. */
  let d: bigint;
  beforeEach(async () => {
    session.close();
    await daemon.stop();
    await start({ handles, sandbox: 'namespace', seccomp: 'kill', xattr: true });
    fs.mkdirSync(path.join(daemon.shared, 'd'));
    fs.writeFileSync(path.join(daemon.shared, 'd/a'), 'content of a');
    fs.linkSync(path.join(daemon.shared, 'd/a'), path.join(daemon.shared, 'd/a-link'));
    d = (await guest.lookup(1n, 'd')).nodeid;
  });

  it('passes every point', async () => {
    const passed = new Set<string>();
    /** Holds the next request, and steps to its end. */
    const through = async <T>(make: () => Promise<T>): Promise<T> => {
      await session.client.call('debug.pause', {});
      const made = make();
      // It is looked at when the request has gone on.
      made.catch(() => undefined);
      for (let stop = await session.stops.next(); ; stop = await session.step(stop)) {
        passed.add(stop.point);
        // The path is asked of the kernel, which has another root for the daemon.
        const gone = stop.point === 'removed' || stop.point === 'keys_removed';
        expect(stop.facts.path?.split('/')[0]).toBe(gone ? undefined : 'd');
        if (stop.point === 'reply' || stop.point === 'keys_removed') break;
      }
      await session.continue();
      return made;
    };
    await session.inject({
      call: 'name_to_handle_at',
      errno: 'EOPNOTSUPP',
      when: { kind: 'every' },
      path: 'd/a-link',
    });
    const { nodeid } = await through(() => guest.lookup(d, 'a'));
    await through(() => guest.lookup(d, 'a'));
    const linked = through(() => guest.lookup(d, 'a-link'));
    if (handles === 'mandatory') await expect(linked).rejects.toThrow('ENOTSUP');
    else await linked;
    await session.inject();

    const { fh } = await through(() => guest.open(nodeid, fs.constants.O_RDWR));
    await through(() => guest.write(nodeid, fh, 0, Buffer.alloc(70_000, 'x')));
    expect(await through(() => guest.read(nodeid, fh, 0, 70_000))).toHaveLength(70_000);
    await through(() => guest.release(nodeid, fh));
    const made = await through(() => guest.create(d, 'made', fs.constants.O_RDWR, 0o600));
    await guest.release(made.entry.nodeid, made.open.fh);
    await through(() => guest.mkdir(d, 'sub', 0o700));
    await through(() => guest.symlink(d, 'symbolic', 'a'));
    await through(() => guest.setxattr(nodeid, 'user.colour', Buffer.from('blue')));
    await through(() => guest.setattr(nodeid, { mode: 0o711 }));
    await through(() => guest.rename(d, 'made', d, 'renamed'));
    await through(() => guest.unlink(d, 'renamed'));
    await through(() => guest.rmdir(d, 'sub'));
    const listing = await guest.opendir(d);
    await through(() => guest.readdirplus(d, listing.fh, 0, 8192));
    await guest.releasedir(d, listing.fh);
    await through(() => guest.forget(nodeid, 100));
    expect([...passed, ...notPassed].sort()).toEqual([...STOP_POINTS].sort());
    expect(await daemon.stop()).toBe(0);
  });

  it('lets every call fail, and looks for hazards', async () => {
    const { nodeid } = await guest.lookup(d, 'a');
    const calls = handles === 'never' ? (['statx', 'openat'] as const) : FAULT_CALLS;
    await session.arm({ errno: 'EIO', log: '{op} {path}' });
    for (const call of calls) {
      await session.inject({ call, errno: 'EIO', when: { kind: 'next' }, path: 'd/a*' });
      const byHandle = call === 'open_by_handle_at';
      const answer = byHandle ? guest.getattr(nodeid) : guest.lookup(d, 'a');
      await expect(answer).rejects.toThrow('EIO');
      // What was opened by its handle has the name by which the kernel knows it.
      expect((await session.output.next()).text).toMatch(
        byHandle ? /^GETATTR d\/a(-link)?$/ : /^LOOKUP d\/a$/,
      );
    }
    if (handles === 'prefer') {
      await session.inject({
        call: 'name_to_handle_at',
        errno: 'EOVERFLOW',
        when: { kind: 'next' },
      });
      await session.arm({ hazard: '*', operation: 'LOOKUP' });
      const linked = guest.lookup(d, 'a-link');
      expect(await session.stops.next()).toMatchObject({ reason: 'hazard', point: 'inserted' });
      await session.continue();
      await linked;
    }
    expect(await daemon.stop()).toBe(0);
  });
});
