/** What a mount promises to programs, one promise at a time. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Share } from './harness';
import { must, serve, shell, stopAll } from './harness';

afterAll(stopAll);

/** Scripts that end with 0 when the promise is kept. They may run in any handle mode. */
const PROMISES: readonly (readonly [string, string])[] = [
  [
    'hard links share number, count and content',
    `echo one > h1; ln h1 h2; test "$(stat -c '%i %h' h1)" = "$(stat -c '%i %h' h2)"
     test "$(stat -c %h h1)" = 2; echo two >> h2; test "$(tail -1 h1)" = two; rm h1
     test "$(stat -c %h h2)" = 1`,
  ],
  [
    'extended attributes on files, directories, links and FIFOs',
    `echo x > xa; mkdir xd; ln -s xa xl; mkfifo xf
     for f in xa xd; do setfattr -n user.n -v v $f; test "$(getfattr --only-values -n user.n $f)" = v; done
     for f in xl xf; do setfattr -h -n trusted.n -v v $f
       test "$(getfattr -h --only-values -n trusted.n $f)" = v; done
     getfattr -d xa | grep -q user.n; setfattr -x user.n xa; refused getfattr -n user.n xa 2>/dev/null
     refused setfattr -n system.posix_acl_access -v x xa 2>/dev/null`,
  ],
  [
    'a rename over an open file leaves the old one readable',
    `
     echo old > ro; exec 3< ro; echo new > rn; mv rn ro; test "$(cat <&3)" = old; test "$(cat ro)" = new`,
  ],
  [
    'an unlinked open file stays readable and writable',
    `
     echo kept > u; exec 3<> u; rm u; test ! -e u; test "$(cat <&3)" = kept; echo more >&3
     test "$(stat -L -c %h /proc/self/fd/3)" = 0`,
  ],
  [
    'sparse files keep their holes',
    `truncate -s 1M sp; printf x | dd of=sp bs=1 seek=524288 conv=notrunc status=none
     python3 - <<'P'
import os
f=os.open('sp',os.O_RDONLY)
assert os.lseek(f,0,os.SEEK_DATA)==524288, os.lseek(f,0,os.SEEK_DATA)
assert os.lseek(f,524288,os.SEEK_HOLE)==528384
P
     fallocate -l 4M sp; test "$(stat -c %s sp)" = 4194304
     fallocate -p -o 524288 -l 4096 sp; test "$(tr -d '\\0' < sp | wc -c)" = 0`,
  ],
  [
    'names of 255 bytes, not one more, and bytes that are no UTF-8',
    `n=$(printf 'n%.0s' $(seq 255)); echo a > $n; test "$(cat $n)" = a; refused touch n$n 2>/dev/null
     b=$(printf 'bad-\\xff\\xfe'); echo b > "$b"; test "$(cat "$b")" = b; ls | grep -qa "$(printf '\\xff')"
     cat "$S/$b" > /dev/null`,
  ],
  [
    'paths deeper than PATH_MAX',
    `python3 - <<'P'
import os
os.mkdir('deep'); os.chdir('deep')
for i in range(30):
    os.mkdir('d'*200); os.chdir('d'*200)
open('bottom','w').write('here')
assert open('bottom').read()=='here'
P
     rm -r deep`,
  ],
  [
    'O_APPEND appends, also from two descriptors',
    `
     exec 3>> ap 4>> ap; echo 1 >&3; echo 2 >&4; echo 3 >&3; test "$(tr -d '\\n' < ap)" = 123
     cmp ap "$S/ap"`,
  ],
  [
    'truncation by path and by descriptor',
    `
     echo 0123456789 > tr; truncate -s 4 tr; test "$(cat tr)" = 0123; exec 3<> tr
     truncate -s 8 tr; test "$(stat -c %s tr)" = 8; : > tr; test ! -s tr`,
  ],
  [
    'mmap reads and writes',
    `python3 - <<'P'
import mmap,os
open('mm','wb').write(b'a'*8192)
with open('mm','r+b') as f:
    m=mmap.mmap(f.fileno(),8192); m[4096:4100]=b'WXYZ'; m.flush(); m.close()
P
     test "$(dd if="$S/mm" bs=1 skip=4096 count=4 status=none)" = WXYZ`,
  ],
  [
    'processes work side by side',
    `mkdir par; for p in 1 2 3 4; do (for i in $(seq 100); do echo $p-$i > par/$p-$i; cat par/$p-$i \\
       > /dev/null; mv par/$p-$i par/done-$p-$i; done) & done; wait
     test "$(ls par | grep -c done)" = 400; test "$(cat par/done-3-77)" = 3-77`,
  ],
  [
    'somebody else owns what he creates, and is refused what he may not',
    `mkdir -m 1777 pub; mkdir -m 700 priv; touch priv/secret
     U='setpriv --reuid=4321 --regid=8765 --clear-groups'
     $U touch pub/f; $U mkdir pub/d; $U ln -s x pub/l; $U mkfifo pub/p
     for n in f d l p; do test "$(stat -c %u:%g pub/$n)" = 4321:8765; done
     test "$(stat -c %u:%g "$S/pub/f")" = 4321:8765
     refused $U cat priv/secret 2>/dev/null; refused $U touch f-in-root 2>/dev/null; refused $U rm -f pub/../priv/secret 2>/dev/null
     touch pub/mine; refused $U rm -f pub/mine 2>/dev/null; refused $U chmod 777 pub/mine 2>/dev/null
     touch after; test "$(stat -c %u:%g after)" = 0:0`,
  ],
  [
    'a supplementary group counts, and a set-gid directory hands its group on',
    `mkdir grp; chgrp 5555 grp; chmod 2770 grp
     setpriv --reuid=4321 --regid=8765 --groups=5555 touch grp/f
     test "$(stat -c %u:%g grp/f)" = 4321:5555
     refused setpriv --reuid=4321 --regid=8765 --clear-groups touch grp/g 2>/dev/null`,
  ],
  [
    'umask and special modes',
    `
     (umask 027; mkdir um; touch um/f); test "$(stat -c %a um) $(stat -c %a um/f)" = '750 640'
     chmod 6755 um/f; test "$(stat -c %a um/f)" = 6755`,
  ],
  [
    'statfs tells the host file system',
    `
     test "$(stat -f -c '%b %s %c %l' .)" = "$(stat -f -c '%b %s %c %l' "$S")"`,
  ],
  [
    'symbolic links, FIFOs and device numbers',
    `
     ln -s "$(printf 't%.0s' $(seq 1000))" sl; test "$(readlink sl | wc -c)" = 1001
     mkfifo ff; (echo through > ff &); test "$(cat ff)" = through
     mknod dev c 259 300000; test "$(stat -c %t:%T dev)" = "$(stat -c %t:%T "$S/dev")"`,
  ],
  [
    'rename: exchange, no-replace, directories',
    `
     python3 - <<'P'
import ctypes,os
libc=ctypes.CDLL(None,use_errno=True)
def r2(a,b,f): return libc.renameat2(-100,a,-100,b,f) and ctypes.get_errno()
open('ea','w').write('A'); open('eb','w').write('B')
assert r2(b'ea',b'eb',2)==0 and open('ea').read()=='B'
assert r2(b'ea',b'eb',1)==17
P
     mkdir -p rd/sub re; mv rd re/; test -d re/rd/sub; refused mv re re/rd/ 2>/dev/null`,
  ],
  [
    'errors of the host arrive unchanged',
    `
     mkdir -p ne/x; refused rmdir ne 2> err; grep -q 'not empty' err; refused cat ne 2> err; grep -q 'Is a directory' err
     refused cat no-such 2> err; grep -q 'No such file' err; touch nd; refused ls nd/ 2> err; grep -q 'Not a directory' err
     ln -s loop loop; refused cat loop 2> err; grep -q 'Too many levels' err`,
  ],
  [
    'copy_file_range and large transfers',
    `
     head -c 5000001 /dev/urandom > big; python3 - <<'P'
import os
a=os.open('big',os.O_RDONLY); b=os.open('cfr',os.O_WRONLY|os.O_CREAT)
left=5000001
while left: left-=os.copy_file_range(a,b,left)
P
     cmp big cfr; cmp big "$S/cfr"; dd if=big of=odd bs=1000003 status=none; cmp big "$S/odd"`,
  ],
  [
    'changes on the host are seen',
    `
     echo 1 > "$S/hc"; test "$(cat hc)" = 1; sleep 1.1; echo 22 > "$S/hc"; sleep 1.1; test "$(cat hc)" = 22
     rm "$S/hc"; sleep 1.1; test ! -e hc`,
  ],
];

describe.each(['never', 'prefer', 'mandatory'] as const)('handles %s', (handles) => {
  let share: Share;
  beforeAll(async () => {
    share = await serve({ handles, more: ['--xattr'] });
  });

  it.each(PROMISES)('%s', (_name, script) => {
    must(share, script);
  });

  it('reports no trouble', () => {
    expect(share.log.filter((line) => /failed|refused/i.test(line))).toEqual([]);
  });
});

it('keeps writes in order with --writeback and --cache always', async () => {
  const share = await serve({
    handles: 'mandatory',
    more: ['--writeback', '--cache', 'always'],
  });
  must(
    share,
    `head -c 3000000 /dev/urandom > a; cp a b; printf end >> b; cmp -n 3000000 a b
     exec 3> wo; printf 12345 >&3; exec 3>&-; test "$(cat wo)" = 12345; sync; cmp a "$S/a"
     test "$(tail -c 3 "$S/b")" = end`,
  );
});

it('works without any cache, and with O_DIRECT handed on', async () => {
  const share = await serve({ handles: 'prefer', more: ['--cache', 'never', '--allow-direct-io'] });
  must(
    share,
    `head -c 1048576 /dev/urandom > a; dd if=a of=b bs=64k iflag=direct oflag=direct status=none
     cmp a b; echo changed > "$S/b"; test "$(cat b)" = changed`,
  );
});

it('refuses every change with --readonly', async () => {
  const writable = await serve({ handles: 'mandatory' });
  must(writable, 'echo kept > f; mkdir d');
  await writable.stop();
  const share = await serve({
    handles: 'mandatory',
    shared: writable.shared,
    more: ['--readonly'],
  });
  expect(must(share, 'cat f; ls')).toBe('kept\nd\nf');
  for (const change of [
    'touch g',
    'rm f',
    'rmdir d',
    'mv f g',
    'ln f g',
    'chmod 1 f',
    'echo x > f',
  ]) {
    const { status, stderr } = shell(share, change);
    expect(status, change).not.toBe(0);
    expect(stderr, change).toContain('Read-only file system');
  }
});

it('answers ENFILE when its descriptors are used up, and recovers', async () => {
  const share = await serve({ handles: 'never', more: ['--rlimit-nofile', '660'] });
  must({ ...share, mount: share.shared }, 'touch $(seq 100)');
  const { stderr } = shell(share, 'ls -l; for i in $(seq 100); do cat $i; done');
  expect(stderr).toContain('Too many open files in system');
  must(share, 'echo 2 > /proc/sys/vm/drop_caches; rm 1; cat 2; echo 2 > /proc/sys/vm/drop_caches');
  // File handles need no descriptor each.
  const roomy = await serve({
    handles: 'mandatory',
    shared: share.shared,
    more: ['--rlimit-nofile', '660'],
  });
  must(roomy, 'ls -l > /dev/null; for i in $(seq 2 100); do cat $i; done');
});

it('looks into mounts below the shared directory, also with odd names', async () => {
  const share = await serve({ handles: 'mandatory' });
  const point = path.join(share.shared, 'a space\tand tab');
  fs.mkdirSync(point);
  const image = `${share.mount}.img`;
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 16 << 20);
  expect(spawnSync('mkfs.ext4', ['-q', image]).status).toBe(0);
  expect(spawnSync('mount', ['-o', 'loop', image, point]).status).toBe(0);
  try {
    must(share, `cd 'a space'*; echo inside > f; test "$(cat f)" = inside; ls -l f >/dev/null`);
  } finally {
    await share.stop();
    expect(spawnSync('umount', [point]).status).toBe(0);
  }
});

it('answers ESTALE for a file that the host replaced, and finds the new one', async () => {
  const share = await serve({ handles: 'mandatory', more: ['--cache', 'always'] });
  must(share, 'echo old > f; sync');
  const held = fs.openSync(path.join(share.mount, 'f'), 0x200000);
  fs.rmSync(path.join(share.shared, 'f'));
  fs.writeFileSync(path.join(share.shared, 'f'), 'new');
  expect(() => fs.openSync(`/proc/self/fd/${held}`, 'r')).toThrow(/ESTALE|-116/);
  fs.closeSync(held);
  must(share, 'echo 2 > /proc/sys/vm/drop_caches; test "$(cat f)" = new');
});
