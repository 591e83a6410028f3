/** The daemon's tables while a guest fills them, held against what the host says. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../filesystem/harness';
import { hazardOf, hostFile } from '../scenarios/share';
import { Guest, guestParts } from './guest';
import type { Share } from './share';
import { hostFiles, mountShare, sorted, Watch } from './share';

const parts = guestParts(root);
let guest: Guest;
beforeAll(async () => {
  guest = await Guest.boot({ parts });
});
afterAll(async () => {
  expect(guest.complaints()).toEqual([]);
  await guest.kill();
});

/** A share with its tables, from before the first request of the guest. */
async function watched(...options: readonly string[]): Promise<{ share: Share; watch: Watch }> {
  const share = await mountShare(guest, ...options);
  return { share, watch: await Watch.on(share) };
}

/** Files made until one gets the number wanted. */
const TRIES = 5_000;

/** Makes a file that has a given inode number, as ext4 gives them away again. */
function makeWithNumber(file: string, ino: string, content: string): void {
  const tries: string[] = [];
  try {
    while (tries.length < TRIES) {
      const attempt = `${file}.try-${tries.length}`;
      fs.writeFileSync(attempt, content);
      if (hostFile(attempt).ids.ino === ino) {
        fs.renameSync(attempt, file);
        return;
      }
      tries.push(attempt);
    }
  } finally {
    for (const attempt of tries) fs.rmSync(attempt);
  }
  throw new Error(`None of ${TRIES} files got the number ${ino}.`);
}

/** Names, a hard link, a symbolic link, a FIFO. */
const TREE = 'mkdir -p a/b/c d; touch 1 a/2 a/b/3 d/é; ln 1 d/1; ln -s x a/l; mkfifo a/b/f';

it.each(['mandatory', 'prefer', 'never'])(
  'after a walk the tables hold what the host has; what the guest forgets leaves them (%s)',
  async (handles) => {
    const { share, watch } = await watched(`--inode-file-handles=${handles}`, '--cache=always');
    execFileSync('sh', ['-c', TREE], { cwd: share.shared });
    await guest.must(`find ${share.mount} -ls`);

    const host = hostFiles(share.shared);
    const { entries, inodes_by_ids, inodes_by_handle } = await watch.settled(guest);
    expect(sorted(entries)).toEqual(
      handles === 'never' ? host.map((file) => ({ ...file, handle: null })) : host,
    );
    expect(inodes_by_ids).toHaveLength(host.length);
    expect(inodes_by_handle).toHaveLength(handles === 'never' ? 0 : host.length);
    for (const { path: name, ids } of entries) {
      expect(hostFile(path.join(share.shared, name ?? 'unknown')).ids.ino).toBe(ids.ino);
    }

    await guest.must('echo 2 > /proc/sys/vm/drop_caches');
    const removed = () => watch.events.filter(({ type }) => type === 'remove').length;
    await watch.until(() => removed() === host.length - 1);
    expect((await watch.settled(guest)).entries.map(({ nodeid }) => nodeid)).toEqual(['1']);
  },
);

describe.each(['mandatory', 'prefer'])('the host gives numbers away again (%s)', (handles) => {
  let share: Share;
  let watch: Watch;
  beforeAll(async () => {
    ({ share, watch } = await watched(`--inode-file-handles=${handles}`, '--cache=always'));
  });
  const onHost = (name: string) => path.join(share.shared, name);

  it('to another name: the guest reads the new file, and never the new one as the old', async () => {
    fs.writeFileSync(onHost('old'), 'OLD');
    const before = hostFile(onHost('old'));
    expect(await guest.must(`cat ${share.mount}/old`)).toBe('OLD');

    // For a day the guest need not ask again what "old" is.
    fs.rmSync(onHost('old'));
    makeWithNumber(onHost('new'), before.ids.ino, 'NEW');
    const after = hostFile(onHost('new'));
    expect(after.ids).toEqual(before.ids);
    expect(after.handle).not.toEqual(before.handle);

    expect(await guest.must(`stat -c %i ${share.mount}/old; cat ${share.mount}/new`)).toBe(
      `${before.ids.ino}\nNEW`,
    );
    const hazard = await watch.waitFor((event) => hazardOf(event, 'H1') !== null);
    const { nodeids, evidence } = hazardOf(hazard, 'H1') ?? {};
    const { entries, inodes_by_ids, inodes_by_handle } = await watch.settled(guest);
    const [, old, fresh] = entries;
    expect(nodeids).toEqual([fresh?.nodeid, old?.nodeid]);
    expect(evidence).toMatchObject({ oldNode: old?.nodeid, newNode: fresh?.nodeid });
    expect([old, fresh]).toMatchObject([
      { path: 'old', handle: { bytes: before.handle?.bytes } },
      { path: 'new', handle: { bytes: after.handle?.bytes } },
    ]);
    expect(inodes_by_ids.filter(({ ids }) => ids.ino === after.ids.ino)).toMatchObject([
      { nodeid: fresh?.nodeid },
    ]);
    expect(inodes_by_handle).toHaveLength(3);

    const reading = await guest.run(`cat ${share.mount}/old`);
    expect(reading.status).toBe(1);
    expect(reading.output).toMatch(/Stale file handle|No such file/);
  });

  it('to the same name: the guest meets ESTALE inside, asks again, and reads the new file', async () => {
    fs.writeFileSync(onHost('same'), 'OLD');
    const before = hostFile(onHost('same'));
    expect(await guest.must(`cat ${share.mount}/same`)).toBe('OLD');
    fs.rmSync(onHost('same'));
    makeWithNumber(onHost('same'), before.ids.ino, 'NEW');

    expect(await guest.must(`cat ${share.mount}/same`)).toBe('NEW');
    const stale = await watch.waitFor(
      (event) => event.type === 'open_by_handle' && event['errno'] === 'ESTALE',
    );
    const { entries } = await watch.settled(guest);
    expect(entries.find(({ path: name }) => name === 'same')).toMatchObject({
      handle: { bytes: hostFile(onHost('same')).handle?.bytes },
    });
    expect(entries.map(({ nodeid }) => nodeid)).not.toContain(undefined);
    expect(stale).toMatchObject({ type: 'open_by_handle' });
  });

  it('a file that the guest has open stays what it was', async () => {
    fs.writeFileSync(onHost('open'), 'OLD');
    const { ino } = hostFile(onHost('open')).ids;
    await guest.must('mkfifo /tmp/opened /tmp/go');
    const reading = guest.must(
      `exec 5< ${share.mount}/open; echo > /tmp/opened; cat /tmp/go > /dev/null; cat <&5`,
    );
    await guest.must('cat /tmp/opened');
    fs.rmSync(onHost('open'));
    // The daemon's descriptor keeps the file, and so its number.
    expect(() => makeWithNumber(onHost('other'), ino, 'NEW')).toThrow('None of');
    await guest.must('echo > /tmp/go; rm /tmp/opened /tmp/go');
    expect(await reading).toBe('OLD');
  });
});

it('without caching the guest sees at once what the host changes', async () => {
  const { share } = await watched('--cache=never');
  const file = path.join(share.shared, 'f');
  for (const text of ['one', 'two and longer', '3']) {
    fs.writeFileSync(file, text);
    expect(await guest.must(`cat ${share.mount}/f; stat -c ' %s' ${share.mount}/f`)).toBe(
      `${text} ${text.length}`,
    );
  }
  fs.renameSync(file, path.join(share.shared, 'g'));
  expect(await guest.must(`ls ${share.mount}; refused stat ${share.mount}/f 2>/dev/null`)).toBe(
    'g',
  );
});
