/** Guests that are stopped in a lookup: for a minute, and when their machine stops, resets, ends. */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DebugSession } from '../filesystem/debugSession';
import { attach } from '../filesystem/debugSession';
import { root } from '../filesystem/harness';
import { Guest, guestParts } from './guest';
import type { Share } from './share';
import { hostFiles, mountShare, serve, sorted, Watch } from './share';

const parts = guestParts(root);

/** How long a lookup is held, in milliseconds. */
const MINUTE = 60_000;
/** The lease is far shorter than that; the debugger lives. */
const LEASE = 25_000;
const HEARTBEAT = 2_000;
/** The guest's kernel may complain of a program that has not run for so many seconds. */
const WATCHDOG = 20;

/** Files that are made, moved, read and removed as long as go is there; says how many. */
const work = (mount: string) => `
cd ${mount}/work; n=0
while [ -e ../go ]; do
  n=$((n + 1)); head -c 50000 /dev/urandom > a; sum=$(sha256sum < a)
  ln a b; mv b c; rm a; [ "$(ls)" = c ]; [ "$(sha256sum < c)" = "$sum" ]; rm c
  refused cat a 2> /dev/null
done
sync; echo $n`;

/** A folder whose files are looked up, and one in which others work. */
function fill({ shared }: Share): void {
  for (const folder of ['apart', 'work']) fs.mkdirSync(path.join(shared, folder));
  for (const name of ['a', 'b', 'c', 'd']) {
    fs.writeFileSync(path.join(shared, 'apart', name), `content of ${name}`);
  }
  fs.writeFileSync(path.join(shared, 'go'), '');
}

/** Has the guest read a file that it does not know yet, and waits until the lookup is held. */
async function hold(guest: Guest, { mount }: Share, session: DebugSession, name: string) {
  await session.arm({ operation: 'LOOKUP', path: `apart/${name}` });
  const reading = guest.must(`cat ${mount}/apart/${name}`);
  const passed = reading.then((text) => {
    throw new Error(`Nothing was held: ${text}`);
  });
  // How it ends is looked at later.
  passed.catch(() => undefined);
  const stop = await Promise.race([session.stops.next(), passed]);
  expect(stop).toMatchObject({ op: 'LOOKUP', point: 'request', facts: { name } });
  return { reading, stop };
}

// While the first guest waits, a second one is put through the rest: the minute is for both.
describe('a minute in a lookup', () => {
  let guest: Guest;
  let share: Share;
  let watch: Watch;
  let session: DebugSession;
  let since: number;
  let held: Awaited<ReturnType<typeof hold>>;
  let working: Promise<string>;
  let heartbeat: NodeJS.Timeout;
  beforeAll(async () => {
    guest = await Guest.boot({ parts });
    share = await mountShare(guest);
    fill(share);
    watch = await Watch.on(share);
    session = await attach(share.daemon.pid, LEASE);
    heartbeat = setInterval(() => {
      session.client.call('debug.heartbeat', {}).catch(() => clearInterval(heartbeat));
    }, HEARTBEAT);
    await guest.must(`echo ${WATCHDOG} > /proc/sys/kernel/hung_task_timeout_secs`);
    working = guest.must(work(share.mount));
    working.catch(() => undefined);
    held = await hold(guest, share, session, 'a');
    since = performance.now();
  });
  afterAll(async () => {
    clearInterval(heartbeat);
    expect(guest.complaints()).toEqual([]);
    await guest.kill();
  });

  describe('meanwhile another machine', () => {
    let other: Guest;
    beforeAll(async () => {
      other = await Guest.boot({ parts });
    });
    afterAll(async () => {
      expect(other.complaints()).toEqual([]);
      await other.kill();
    });

    it('is stopped and goes on, is reset, and is killed, each while a lookup is held', async () => {
      const served = await serve();
      fill(served);
      await other.plug(served);
      await other.mount(served.tag);
      const debug = await attach(served.daemon.pid, 120_000);

      // A stop takes the rings away, in which nothing may be under way.
      const first = await hold(other, served, debug, 'a');
      await other.stop();
      expect(await debug.resumed.next()).toMatchObject({
        request: first.stop.request,
        reason: 'session',
      });
      await other.cont();
      expect(await first.reading).toBe('content of a');

      const second = await hold(other, served, debug, 'b');
      await Promise.all([other.reset(), expect(second.reading).rejects.toThrow('reset')]);
      expect(await debug.resumed.next()).toMatchObject({
        request: second.stop.request,
        reason: 'session',
      });
      await other.mount(served.tag);

      // What is armed stays armed.
      const third = await hold(other, served, debug, 'c');
      expect((await debug.step(third.stop, 'out')).facts).toMatchObject({ hit: 'miss' });
      await debug.continue();
      expect(await third.reading).toBe('content of c');

      await hold(other, served, debug, 'd');
      await other.kill();
      expect(await served.daemon.ended).toBe(0);
      expect((await debug.over).reason).toBe('ended');
      expect(served.daemon.log.filter((line) => /error|warn/i.test(line))).toEqual([]);
      debug.close();
    });
  });

  it('harms nothing: others work on, and the program finishes with the right content', async () => {
    await new Promise((resolve) => setTimeout(resolve, MINUTE - (performance.now() - since)));
    fs.rmSync(path.join(share.shared, 'go'));
    expect(Number(await working)).toBeGreaterThan(10);
    const { held: stillHeld } = await session.client.call('debug.inspect', {});
    expect(stillHeld).toMatchObject([{ request: held.stop.request, point: 'request' }]);
    await session.continue();
    expect(await held.reading).toBe('content of a');
    expect(await session.resumed.next()).toMatchObject({ reason: 'continue' });

    await session.client.call('debug.detach', {});
    await guest.must(`find ${share.mount} -ls`);
    const { entries, inodes_by_ids, inodes_by_handle } = await watch.settled(guest);
    const host = hostFiles(share.shared);
    expect(sorted(entries)).toEqual(host);
    expect(inodes_by_ids).toHaveLength(host.length);
    expect(inodes_by_handle).toHaveLength(host.length);
    // The time that it was held is none that the lookup took.
    const lookup = await watch.waitFor(
      (event) => event.type === 'lookup' && event['unique'] === held.stop.unique,
    );
    expect(lookup).toMatchObject({ name: 'a', hit: 'miss' });
    expect(lookup['durationNs']).toBeLessThan(MINUTE * 1e6);
    // No lookup was lost or counted twice: when the guest forgets, only the root stays.
    await expect
      .poll(
        async () => {
          await guest.must('echo 2 > /proc/sys/vm/drop_caches');
          return (await watch.settled(guest)).entries.map(({ nodeid }) => nodeid);
        },
        { interval: 500 },
      )
      .toEqual(['1']);
    expect(share.daemon.log.filter((line) => /error|warn/i.test(line))).toEqual([]);
  });
});
