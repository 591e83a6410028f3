/** Real programs in a real guest, and what the host has afterwards. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { root } from '../filesystem/harness';
import { Guest, guestParts } from './guest';
import type { Share } from './share';
import { EMPTY, hostFiles, serve, sorted, Watch } from './share';

const GIT = 'git -c user.name=t -c user.email=t@t.invalid -c init.defaultBranch=main';

/** Makes ./tree, with odd names, sizes, modes and times. */
const MAKE_TREE = `
mkdir -p tree/deep/er/still tree/empty
for i in $(seq 40); do head -c $((i * i * 97)) /dev/urandom > "tree/file $i"; done
for i in $(seq 40); do echo $i > tree/deep/$i; ln tree/deep/$i tree/deep/er/hard-$i; done
ln -s '../file 1' tree/deep/link; ln -s /nowhere tree/dangling; mkfifo tree/fifo
printf x > "tree/$(printf 'not \\377 utf-8')"; printf x > 'tree/back\\slash'
chown 1234:5678 'tree/file 4'; chmod 4755 'tree/file 1'; chmod 600 'tree/file 2'
chmod 1777 tree/empty; touch -d '1969-07-20 20:17:40.123456789' 'tree/file 3'
`;

/** What ./tree holds: contents, types, modes, owners, link counts, targets, times, sizes. */
const DESCRIBE_TREE = `
find tree -type f -print0 | sort -z | xargs -0 sha256sum
find tree -type d -printf '%P %m %U %G %T@\\n' \
  -o -printf '%P %y %m %U %G %n %l %T@ %s\\n' | sort
`;

/** fio ends with an error when a block is not what was written. */
const FIO = `
[global]
size=3m
bsrange=512-64k
verify=crc32c
verify_fatal=1
randrepeat=0
[buffered]
rw=randwrite
stonewall
[synced]
rw=randwrite
fsync=16
stonewall
[mapped]
ioengine=mmap
rw=randrw
bs=4k
stonewall
[direct]
rw=randwrite
direct=1
bs=4k-64k
stonewall
`;

const parts = guestParts(root);
const calls = fs.readFileSync(path.join(root, 'test/guest/calls.c'));
let guest: Guest;
beforeAll(async () => {
  guest = await Guest.boot({ parts });
});
afterAll(async () => {
  expect(guest.complaints()).toEqual([]);
  await guest.kill();
});

/** What a script prints that runs on the host. */
function onHost(folder: string, script: string): string {
  const done = spawnSync('bash', ['-e', '-u', '-o', 'pipefail', '-c', script], {
    cwd: folder,
    env: { ...process.env, LC_ALL: 'C' },
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`On the host: ${done.stderr}${done.stdout}`);
  return done.stdout.trim();
}

describe.each([
  ['handles mandatory', ['--inode-file-handles=mandatory', '--xattr']],
  ['handles prefer, cache always, writeback', ['--cache=always', '--writeback', '--xattr']],
] as const)('%s', (_name, options) => {
  let share: Share;
  let watch: Watch;
  /** Descriptors of the daemon before the guest mounts. */
  let unused: number;
  /** A new folder of the share for each test, on the host and in the guest. */
  let here: string;
  let there: string;
  let places = 0;
  beforeAll(async () => {
    share = await serve(...options);
    watch = await Watch.on(share);
    await guest.plug(share);
    unused = share.daemon.descriptors();
    await guest.mount(share.tag);
  });
  beforeEach(() => {
    const place = String(places++);
    here = path.join(share.shared, place);
    there = path.join(share.mount, place);
    fs.mkdirSync(here);
  });

  const inGuest = (script: string) => guest.must(`cd ${there}\n${script}`);

  it('a tree makes the round trip with equal checksums', async () => {
    onHost(here, MAKE_TREE);
    const made = onHost(here, DESCRIBE_TREE);
    expect(await inGuest(DESCRIBE_TREE)).toBe(made);
    await inGuest('cp -a tree /tmp/tree; rm -r tree; cp -a /tmp/tree tree; rm -r /tmp/tree');
    expect(onHost(here, DESCRIBE_TREE)).toBe(made);
  });

  it('git clones, commits, changes branches', async () => {
    await inGuest(
      `mkdir origin; cd origin; ${GIT} init -q
       for i in $(seq 40); do mkdir -p d$((i % 7)); echo "line $i" > d$((i % 7))/f$i; done
       ${GIT} add .; ${GIT} commit -qm one; ${GIT} checkout -qb other
       for i in $(seq 1 2 40); do echo changed >> d$((i % 7))/f$i; done
       ${GIT} commit -qam two; ${GIT} checkout -q main
       cd ..; ${GIT} clone -q origin copy; cd copy
       ${GIT} checkout -q other; ${GIT} checkout -q main
       test -z "$(${GIT} status --porcelain)"`,
    );
    onHost(here, 'diff -r --exclude=.git origin copy');
    onHost(here, 'cd copy; git -c safe.directory="*" fsck --strict 2>/dev/null');
  });

  it('sqlite3 commits, rolls back, and finds its file sound', async () => {
    const SUM = "sqlite3 a.db 'SELECT count(*), sum(b) FROM t; PRAGMA integrity_check;'";
    const said = await inGuest(
      `{ echo 'CREATE TABLE t(a INTEGER PRIMARY KEY, b INT, c BLOB);'
         for i in $(seq 100); do echo "INSERT INTO t VALUES($i, $i, randomblob(3000));"; done
         echo 'BEGIN; UPDATE t SET c = randomblob(4000); DELETE FROM t WHERE a < 50; ROLLBACK;'
         echo 'BEGIN; UPDATE t SET b = b + 1; COMMIT; PRAGMA journal_mode = truncate;'
         echo 'INSERT INTO t VALUES(101, 0, NULL);'
       } | sqlite3 a.db >/dev/null
       ${SUM}`,
    );
    expect(said).toBe('101|5150\nok');
    expect(onHost(here, SUM)).toBe(said);
  });

  it('gcc builds a program, whose system calls do what their manual pages say', async () => {
    fs.writeFileSync(path.join(here, 'calls.c'), calls);
    expect(await inGuest('gcc -O1 -o calls calls.c; mkdir work; cd work; ../calls')).toBe(
      'all as expected',
    );
    const mapped = fs.readFileSync(path.join(here, 'work/mapped'), 'latin1');
    expect(mapped.slice(4090, 4097)).toBe('written');
    expect(mapped.at(-1)).toBe(String.fromCharCode(97 + ((3 * 4096 + 9) % 23)));
  });

  it('fio finds what it wrote: buffered, synced, mapped, direct', async () => {
    await inGuest(`cat > job <<'END'${FIO}END\nfio --minimal job`);
  });

  it('many files are made, listed and removed', async () => {
    expect(
      await inGuest(
        `mkdir many; cd many; for i in $(seq 2000); do : > "a file with number $i"; done
         ls | wc -l; ls -l | tail -n +2 | wc -l`,
      ),
    ).toBe('2000\n2000');
    expect(fs.readdirSync(path.join(here, 'many'))).toHaveLength(2000);
    await inGuest('rm -r many');
    expect(fs.readdirSync(here)).toEqual([]);
  });

  it('tar and rsync carry hard links and attributes', async () => {
    await inGuest(
      `mkdir -p from/sub; echo a > from/a; ln from/a from/sub/b; ln -s nowhere from/dangling
       setfattr -n user.color -v blue from/a; touch -d @1000000000.5 from/a
       rsync -aHX from/ to/; tar -cf a.tar from; mkdir out; tar -xf a.tar -C out
       cmp to/a out/from/sub/b; test -z "$(rsync -aHXni from/ to/)"`,
    );
    expect(onHost(here, 'stat -c "%h %Y" to/a to/sub/b out/from/a; readlink to/dangling')).toBe(
      '2 1000000000\n2 1000000000\n2 1000000000\nnowhere',
    );
    expect(onHost(here, 'getfattr --only-values -n user.color to/a')).toBe('blue');
    expect(await inGuest('getfattr --only-values -n user.color to/a')).toBe('blue');
  });

  it('after all that the tables know every file of the host by its own handle', async () => {
    await guest.must(`find ${share.mount} -ls > /dev/null`);
    const { entries } = await watch.settled(guest);
    const known = new Set(sorted(entries).map((identity) => JSON.stringify(identity)));
    const host = hostFiles(share.shared);
    expect(host.length).toBeGreaterThan(300);
    expect(host.filter((identity) => !known.has(JSON.stringify(identity)))).toEqual([]);
  });

  it('an unmount empties the tables and gives every descriptor back', async () => {
    await guest.must(`umount ${share.mount}`);
    await watch.waitFor((event) => event.type === 'destroy');
    expect(await watch.snapshot()).toMatchObject(EMPTY);
    expect(share.daemon.descriptors()).toBe(unused);
    expect(share.daemon.log.filter((line) => /error|warn/i.test(line))).toEqual([]);
    watch.close();
    await guest.unplug(share.tag);
    expect(await share.daemon.ended).toBe(0);
  });
});
