/** Real programs on a mount, under every way of holding inodes. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Share } from './harness';
import { must, serve, stopAll } from './harness';

afterAll(stopAll);

const GIT = 'git -c user.name=t -c user.email=t@t.invalid -c init.defaultBranch=main';

const PROGRAMS: readonly (readonly [string, string])[] = [
  [
    'git clones, changes branches, and finds its repository sound',
    `mkdir origin; cd origin; ${GIT} init -q
     for i in $(seq 200); do mkdir -p d$((i % 7)); echo "line $i" > d$((i % 7))/f$i; done
     ${GIT} add .; ${GIT} commit -qm one
     ${GIT} checkout -qb other
     for i in $(seq 1 2 200); do echo changed >> d$((i % 7))/f$i; done
     ${GIT} commit -qam two; ${GIT} checkout -q main
     cd ..; ${GIT} clone -q origin copy; cd copy
     ${GIT} checkout -q other; ${GIT} checkout -q main
     ${GIT} gc -q; ${GIT} fsck --strict 2>/dev/null
     test -z "$(${GIT} status --porcelain)"
     diff -r --exclude=.git . "$S/copy"`,
  ],
  [
    'make and gcc build and run a program',
    `mkdir c; cd c
     printf 'int answer(void){return 42;}\\n' > answer.c
     printf '#include <stdio.h>\\nint answer(void);int main(){printf("%%d",answer());}\\n' > main.c
     printf 'prog: main.o answer.o\\n\\tgcc -o $@ $^\\n' > Makefile
     make -s prog; test "$(./prog)" = 42; touch answer.c; make -s prog; test "$(./prog)" = 42`,
  ],
  [
    'sqlite3 keeps its data, also with a write-ahead log',
    `mkdir q; cd q
     { echo 'PRAGMA journal_mode=wal; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);'
       for i in $(seq 500); do echo "INSERT INTO t(b) VALUES(hex(randomblob(100)));"; done
     } | sqlite3 a.db > mode
     grep -qx wal mode
     sqlite3 a.db 'PRAGMA journal_mode=delete; BEGIN; UPDATE t SET b=b||b; COMMIT;' >/dev/null
     test "$(sqlite3 a.db 'SELECT count(*) FROM t; PRAGMA integrity_check;' | tr '\\n' ' ')" = '500 ok '`,
  ],
  [
    'tar makes the round trip with equal checksums',
    `mkdir -p t/in t/out; cd t
     for i in $(seq 100); do head -c $((i * 997)) /dev/urandom > in/f$i; done
     ln -s f1 in/link; mkfifo in/fifo; ln in/f2 in/hard
     tar -cf a.tar in; tar -xf a.tar -C out
     (cd in; find . -type f | sort | xargs sha256sum) > sums
     (cd out/in; sha256sum --quiet -c ../../sums)
     test "$(readlink out/in/link)" = f1; test -p out/in/fifo
     test "$(stat -c %h out/in/f2)" = 2`,
  ],
  [
    'rsync -aHAX copies times, owners, hard links and attributes',
    `mkdir -p r/from/sub; cd r
     echo a > from/a; ln from/a from/sub/b; touch -d '1969-07-20 20:17:40.123456789' from/a
     setfattr -n user.color -v blue from/a; chmod 4711 from/sub; ln -s nowhere from/dangling
     chown -h 1234:5678 from/dangling
     rsync -aHAX --no-acls from/ to/ 2>/dev/null || rsync -aHX from/ to/
     test "$(stat -c '%i' to/a)" = "$(stat -c '%i' to/sub/b)"
     test "$(stat -c '%y %a %u' to/a)" = "$(stat -c '%y %a %u' from/a)"
     test "$(getfattr --only-values -n user.color to/a)" = blue
     test "$(stat -c '%u:%g' to/dangling)" = 1234:5678; test "$(stat -c %a to/sub)" = 4711`,
  ],
  [
    'cp -a and dd carry every byte',
    `mkdir cp; cd cp
     dd if=/dev/urandom of=a bs=1M count=9 status=none
     dd if=a of=b bs=4097 status=none; cmp a b
     dd if=a of=c bs=64k conv=fsync status=none; cmp a c; cmp a "$S/cp/c"
     dd if=a bs=1M skip=8 status=none | cmp - <(tail -c 1048576 "$S/cp/a")
     cp -a a d; cmp a d; test "$(stat -c %Y a)" = "$(stat -c %Y d)"`,
  ],
  [
    'find sees a tree of a thousand files as the host does',
    `mkdir f; cd f
     for d in $(seq 20); do mkdir d$d; (cd d$d; touch $(seq -f 'file-%03g' 50)); done
     find . -printf '%p %s %m %n %i\\n' | sort > /tmp/guest.$$
     cd "$S/f"; find . -printf '%p %s %m %n %i\\n' | sort | cmp - /tmp/guest.$$
     rm /tmp/guest.$$`,
  ],
];

describe.each(['never', 'prefer', 'mandatory'] as const)('handles %s', (handles) => {
  let share: Share;
  beforeAll(async () => {
    share = await serve({ handles, more: ['--xattr'] });
  });

  it.each(PROGRAMS)('%s', (_name, script) => {
    must(share, script);
    expect(share.log.filter((line) => /error|refused/i.test(line))).toEqual([]);
  });

  it('gives every descriptor back after the files are gone', () => {
    must(share, 'sync; echo 2 > /proc/sys/vm/drop_caches');
    const before = share.descriptors();
    must(
      share,
      `mkdir gone; cd gone; touch $(seq 300); ls -l >/dev/null; cat 1 >/dev/null
       cd ..; rm -r gone; echo 2 > /proc/sys/vm/drop_caches; stat -f . >/dev/null`,
    );
    expect(share.descriptors()).toBeLessThanOrEqual(before);
  });
});
