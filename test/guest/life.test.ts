/** What happens to a machine and to its daemon: resets, pauses, the ends of both. */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { root } from '../filesystem/harness';
import { Guest, guestParts } from './guest';
import { mountShare, serve, Watch } from './share';

const parts = guestParts(root);

let guest: Guest;
afterEach(async () => {
  expect(guest.complaints()).toEqual([]);
  await guest.kill();
});

/** Writes files for as long as NAME.go is there, and their checksums. */
const load = (mount: string) => `
cd ${mount}; mkdir load; n=0
while [ -e go ]; do
  head -c 200000 /dev/urandom > load/$n; sha256sum load/$n >> sums
  cp load/$n load/copy; cmp load/$n load/copy; rm load/copy; n=$((n + 1))
done
sync; sha256sum --quiet -c sums; wc -l < sums`;

it('a reset keeps the daemon: tables start anew, node ids go on, the guest mounts again', async () => {
  guest = await Guest.boot({ parts });
  const share = await serve('--inode-file-handles=mandatory');
  const watch = await Watch.on(share);
  await guest.plug(share);
  await guest.mount(share.tag);
  await guest.must(`cd ${share.mount}; mkdir a; for i in $(seq 50); do echo $i > a/$i; done`);
  const before = await watch.settled(guest);
  expect(before.entries).toHaveLength(52);

  // Files are open and requests on their way when the button is pressed.
  fs.writeFileSync(path.join(share.shared, 'go'), '');
  const interrupted = guest.run(load(share.mount));
  await watch.waitFor((event) => event.type === 'lookup' && event['name'] === 'copy');
  await Promise.all([guest.reset(), expect(interrupted).rejects.toThrow('reset')]);

  await guest.mount(share.tag);
  expect(await guest.must(`ls ${share.mount}/a | wc -l; cat ${share.mount}/a/50`)).toBe('50\n50');
  const { entries } = await watch.settled(guest);
  // A guest that is reset says no farewell: what it had ends with its next INIT, or with the
  // RESET_DEVICE of a newer QEMU.
  const sessions = watch.events.map(({ type }) => type).filter((type) => /init|destroy/.test(type));
  expect([...new Set(sessions)]).toEqual(['init', 'destroy']);
  expect(sessions.filter((type) => type === 'init')).toHaveLength(2);
  expect(sessions.slice(-2)).toEqual(['destroy', 'init']);
  // Only what was looked up since.
  const names = entries.map((entry) => entry.path);
  expect(names).toEqual(expect.arrayContaining(['a', 'a/50']));
  expect(names.filter((name) => name?.startsWith('load'))).toEqual([]);
  // No node id comes back, as the guest's kernel may not tell the two apart.
  const inserted = watch.events.flatMap((event) => {
    return event.type === 'insert' && event['nodeid'] !== '1' ? [Number(event['nodeid'])] : [];
  });
  expect(new Set(inserted).size).toBe(inserted.length);
  expect(inserted).toEqual([...inserted].sort((a, b) => a - b));
});

it('a machine is stopped and goes on under load, and nothing is lost', async () => {
  guest = await Guest.boot({ parts });
  const share = await mountShare(guest, '--inode-file-handles=mandatory');
  const watch = await Watch.on(share);
  const go = path.join(share.shared, 'go');
  fs.writeFileSync(go, '');
  const loading = guest.must(load(share.mount));
  for (let pause = 0; pause < 15; pause++) {
    await guest.stop();
    const { length } = watch.events;
    await guest.cont();
    // The load goes on before the next pause.
    await watch.until(() => watch.events.length > length + 3);
  }
  fs.rmSync(go);
  expect(Number(await loading)).toBe(fs.readdirSync(path.join(share.shared, 'load')).length);
});

/** How many interrupts each request queue of the only virtio-fs device has had. */
async function interrupts(): Promise<readonly number[]> {
  const lines = await guest.must("grep -E 'virtio[0-9]+-requests' /proc/interrupts");
  return lines.split('\n').map((line) => {
    const counts = line.trim().split(/\s+/).slice(1, 3).map(Number);
    return counts.reduce((sum, count) => sum + count);
  });
}

// Linux 6.11 began to give each processor a queue of its own; before that all requests went through
// the first (fs/fuse/virtio_fs.c, virtio_fs_map_queues).
it.each(parts.kernels.map((kernel) => [kernel.release, kernel] as const))(
  'a device with two request queues, there from the start; switching off (%s)',
  async (release, kernel) => {
    const share = await serve('--inode-file-handles=mandatory');
    guest = await Guest.boot({
      ...{ parts, kernel, processors: 2 },
      devices: [{ ...share, queues: 2 }],
    });
    await guest.mount(share.tag);
    // A daemon may signal a queue once that has nothing yet, so that no interrupt is lost.
    const before = await interrupts();
    await guest.must(
      `cd ${share.mount}
       for cpu in 0 1; do
         (mkdir $cpu; cd $cpu
          for i in $(seq 30); do head -c 100000 /dev/urandom > $i; done
          sha256sum * > sums; sha256sum --quiet -c sums) & jobs="\${jobs-} $!"
       done
       for job in $jobs; do wait $job; done
       for cpu in 0 1; do busybox taskset $((cpu + 1)) cat $cpu/1 > /dev/null; done`,
    );
    const used = (await interrupts()).filter((count, queue) => count > (before[queue] ?? 0)).length;
    const [major = 0, minor = 0] = release.split('.').map(Number);
    expect(used).toBe(major > 6 || (major === 6 && minor >= 11) ? 2 : 1);

    // The file system is still mounted, so the guest sends no DESTROY.
    await guest.powerOff();
    expect(await share.daemon.ended).toBe(0);
    expect(fs.existsSync(share.socket)).toBe(false);
    expect(fs.readdirSync(path.join(share.shared, '0'))).toHaveLength(31);
  },
);

it('the daemon ends in peace when QEMU is killed', async () => {
  const share = await serve();
  guest = await Guest.boot({ parts, devices: [share] });
  await guest.mount(share.tag);
  await guest.must(`echo x > ${share.mount}/x`);
  await guest.kill();
  expect(await share.daemon.ended).toBe(0);
});
