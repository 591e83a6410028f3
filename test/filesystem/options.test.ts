/** What virtiofsd's options do to a mount, with the kernel's help, and how the program is called. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Share, ShareOptions } from './harness';
import { daemonProgram, ext4, must, serve, stopAll } from './harness';

afterAll(stopAll);

/** Serves with these options, runs a script that must succeed in the mount, and ends. */
async function withOptions(
  more: readonly string[],
  script: string,
  handles: ShareOptions['handles'] = 'mandatory',
): Promise<Share> {
  const share = await serve({ handles, more: ['--no-inspect', ...more] });
  must(share, `chmod 777 "$S"\n${script}`);
  expect(await share.stop()).toBe(0);
  return share;
}

/** Runs the rest of a command line as user 1000 with no other rights. */
const USER = 'setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all';

describe('extended attributes', () => {
  it('have other names on the host', () =>
    withOptions(
      ['--xattrmap', ':map:trusted.:user.virtiofs.:'],
      `echo x > f; setfattr -n trusted.a -v mapped f; setfattr -n user.b -v plain f
       test "$(getfattr --only-values -n trusted.a f)" = mapped
       test "$(getfattr -m - f | grep -c .)" = 3
       test "$(getfattr --absolute-names --only-values -n user.virtiofs.trusted.a "$S/f")" = mapped
       refused getfattr -n user.virtiofs.trusted.a f 2> /dev/null
       refused setfattr -n user.virtiofs.x -v x f 2> /dev/null
       setfattr -n trusted.hidden -v x "$S/f"; refused getfattr -n trusted.hidden f 2> /dev/null
       setfattr -x trusted.a f; refused getfattr -n trusted.a f 2> /dev/null
       ln -s f l; mkfifo p; refused setfattr -h -n trusted.a -v x l 2> /dev/null`,
    ));

  it('keep file capabilities that the kernel cannot see from outliving a write', () =>
    withOptions(
      ['--xattrmap', ':map::user.virtiofs.:'],
      `echo x > f
       setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 f
       getfattr -n user.virtiofs.security.capability "$S/f" > /dev/null 2>&1
       echo y >> f; refused getfattr -n user.virtiofs.security.capability "$S/f" 2> /dev/null`,
    ));
});

describe('POSIX ACLs', () => {
  it('let in and keep out, and are inherited', () =>
    withOptions(
      ['--posix-acl'],
      `echo secret > f; chmod 600 f; refused ${USER} cat f 2> /dev/null
       setfacl -m u:1000:r f; test "$(${USER} cat f)" = secret
       getfacl -nc f | grep -q user:1000:r--; getfacl -nc --absolute-names "$S/f" | grep -q user:1000:r--
       setfacl -b f; refused ${USER} cat f 2> /dev/null
       mkdir d; setfacl -d -m u::rwx,g::r-x,o::r-x,u:1000:rwx d
       umask 077; echo x > d/inner; mkdir d/deeper
       getfacl -nc d/inner | grep -q user:1000:rwx; getfacl -nc d/deeper | grep -q default:user:1000:rwx
       test "$(stat -c %a d/inner)" = 664; echo x > plain; test "$(stat -c %a plain)" = 600`,
    ));

  it('are not there unless they are asked for', () =>
    withOptions(['--xattr'], `echo x > f; refused setfacl -m u:1000:r f 2> /dev/null`));
});

describe('security labels', () => {
  it('do not keep files from being made where no security module has any', () =>
    withOptions(
      ['--security-label'],
      `echo x > f; mkdir d; ln -s f l; mkfifo p; ${USER} touch mine; test -p p -a -O f
       test "$(stat -c %u mine)" = 1000`,
    ));
});

describe('killpriv', () => {
  it.each(['--killpriv-v2', '--no-killpriv-v2'])(
    'with %s no bit survives a stranger',
    async (option) => {
      await withOptions(
        [option],
        `for f in a b c; do echo x > $f; chmod 6777 $f; done
       ${USER} sh -c 'echo y >> a'; ${USER} truncate -s 0 b; ${USER} sh -c 'echo z > c'
       for f in a b c; do test "$(stat -c %a "$S/$f")" = 777; done
       echo x > r; chmod 6777 r; echo y >> r; test "$(stat -c %a "$S/r")" = 6777`,
      );
    },
  );
});

describe('translated ids', () => {
  it('are others on the host', () =>
    withOptions(
      [
        ...['--translate-uid', 'map:0:10000:2000', '--translate-gid', 'map:0:20000:2000'],
        ...['--translate-uid', 'forbid-guest:5000:1'],
      ],
      `chown 10000:20000 "$S"; echo x > f; ${USER} sh -c 'echo x > mine; mkdir d; ln -s f l'
       test "$(stat -c %u:%g f mine d l | tr '\\n' ' ')" = "0:0 1000:1000 1000:1000 1000:1000 "
       test "$(cd "$S"; stat -c %u:%g f mine l | tr '\\n' ' ')" = "10000:20000 11000:21000 11000:21000 "
       chown 7:8 f; test "$(stat -c %u:%g f "$S/f" | tr '\\n' ' ')" = "7:8 10007:20008 "
       refused chown 5000 f 2> /dev/null; test "$(stat -c %u:%g "$S/f")" = 10007:20008
       ls -ln mine | grep -q ' 1000 1000 '; ${USER} rm mine; test ! -e "$S/mine"`,
      'prefer',
    ));
});

describe('descriptors', () => {
  it('end for the guest before they end for the daemon', async () => {
    const share = await withOptions(
      ['--rlimit-nofile', '660'],
      `mkdir many; for i in $(seq 100); do echo $i > "$S/many/$i"; done
       refused cat many/* 2> /dev/null > /dev/null
       rm -f many/{1..100} 2> /dev/null || true
       until (echo new > fresh) 2> /dev/null; do sleep 0.05; done; rm -f many/{1..100}
       test "$(cat fresh)" = new`,
      'never',
    );
    expect(share.log.filter((line) => line.includes('--rlimit-nofile'))).toHaveLength(1);
  });
});

describe('shared mappings', () => {
  const MAP = `python3 - <<'P'
import mmap,os
f=os.open('f',os.O_RDWR); m=mmap.mmap(f,4096); m[0:5]=b'there'; m.flush()
P`;

  it.each(['never', 'metadata'])('need --allow-mmap with --cache=%s', async (cache) => {
    const prepared = 'truncate -s 4096 f';
    await withOptions(
      [`--cache=${cache}`, '--allow-mmap'],
      `${prepared}; ${MAP}\ntest "$(head -c 5 "$S/f")" = there`,
    );
    await withOptions([`--cache=${cache}`], `${prepared}; (${MAP}\n) 2> /dev/null && exit 1; true`);
  });
});

describe('the program', () => {
  const run = async (name: string, ...args: string[]) => {
    const program = path.join(path.dirname(await ext4()), name);
    fs.rmSync(program, { force: true });
    fs.symlinkSync(await daemonProgram(), program);
    return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 20_000 });
  };

  it.each([
    ['virtiofsd', []],
    ['virtiofsd', ['serve']],
    ['virtiofsd-inspector', []],
    ['virtiofsd-inspector', ['serve']],
  ] as const)('tells its capabilities as %s %j', async (name, words) => {
    const { status, stdout, stderr } = await run(name, ...words, '--print-capabilities');
    expect([status, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ type: 'fs', features: ['separate-options'] });
  });

  it('serves without a command word', async () => {
    const [shared, missing] = [await ext4(), '/nonexistent/point'];
    const { status, stderr } = await run(
      'virtiofsd-inspector',
      '--shared-dir',
      shared,
      '--mount',
      missing,
    );
    expect([status, stderr]).toEqual([1, expect.stringContaining('/nonexistent/point')]);
  });

  it('takes -h for itself or for serve, by its name', async () => {
    expect((await run('virtiofsd', '-h')).stdout).toContain('--inode-file-handles');
    expect((await run('virtiofsd-inspector', '-h')).stdout).toContain('snapshot');
  });

  it.each([
    [[], 'Give --shared-dir'],
    [['-o', 'source=/'], 'Give one of'],
    [['--shared-dir', '/', '--fd', '3', '--mount', '/mnt'], 'Give one of'],
    [['--shared-dir', '/', '--fd', '3', '--thread-pool-size=2'], '--thread-pool-size'],
    [['--shared-dir', '/', '--mount', '/mnt', '--sandbox=chroot'], '--sandbox=chroot is for'],
    [['--shared-dir', '/', '--mount', '/mnt', '--seccomp=kill'], '--seccomp=kill is for'],
    [['--shared-dir', '/', '--mount', '/mnt', '--modcaps=-chown'], '--modcaps is for'],
    [['--shared-dir', '/', '--mount', '/mnt', '--tag=x'], '--tag is for'],
    [['--shared-dir', '/', '--fd', '3', '--uid-map=:0:1:1:'], '--uid-map is for users other'],
  ] as const)('ends with 2 on %j', async (args, why) => {
    const { status, stderr } = await run('virtiofsd', ...args);
    expect(stderr).toContain(why);
    expect(status).toBe(2);
  });

  it('takes sandbox none and seccomp none for what a mount is', async () => {
    await withOptions(['--sandbox=none', '--seccomp', 'none'], 'true');
  });

  it('speaks to syslog', async () => {
    // In a mount namespace of its own, with a /dev that has a listener or none.
    const script = `
      mount --make-rprivate /; d=$(mktemp -d); mount -t tmpfs tmpfs "$d"
      cp -a /dev/null /dev/urandom /dev/random "$d"; mount --move "$d" /dev; rmdir "$d"
      "$@" 2>&1 | sed 's/^/without: /'
      coproc python3 -c '
import socket
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind("/dev/log"); s.settimeout(20)
print("ready",flush=True); print("with: "+s.recv(4096).decode())'
      exec 3<&\${COPROC[0]}; read -r <&3; "$@" > /dev/null 2>&1; cat <&3`;
    const command = [process.execPath, await daemonProgram(), '--syslog', '-f'];
    const serving = ['--shared-dir', '/', '--mount', '/nonexistent/point'];
    const { stdout } = spawnSync(
      'unshare',
      ['-m', 'bash', '-c', script, 'bash', ...command, ...serving],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    expect(stdout).toContain(
      'without: warn: There is no syslog (errno 2): stderr is used instead.',
    );
    expect(stdout).toContain('without: warn: -f is deprecated');
    expect(stdout).toMatch(
      /with: <12>\w{3} [ \d]\d [\d:]{8} virtiofsd-inspector\[\d+\]: -f is depr/,
    );
  });
});
