import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  CAPABILITIES,
  addVirtiofsdOptions,
  readVirtiofsdOptions,
} from '../../daemon/options/commandLine';
import { parseCompat } from '../../daemon/options/compat';
import {
  parseIdRange,
  parseModcaps,
  refusedConfinement,
} from '../../daemon/options/confinementOptions';
import type { Confinement } from '../../daemon/options/confinementOptions';
import { parseIdTranslation } from '../../daemon/options/idTranslation';
import { parseXattrmap } from '../../daemon/options/xattrmap';
import { translated } from '../../daemon/passthrough/idTranslation';
import { hiddenPrefix, hostName, otherHostName } from '../../daemon/passthrough/xattrNames';
import type { XattrMap } from '../../daemon/passthrough/xattrNames';
import { timestamp } from '../../daemon/serveLog';
import { NAME } from '../../native/index';

const SOCKET = ['--shared-dir', '/srv', '--socket-path', '/run/fs.sock'];

function read(...args: string[]) {
  const command = addVirtiofsdOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  command.parse(args, { from: 'user' });
  return readVirtiofsdOptions(command);
}

describe('the command line', () => {
  it("has virtiofsd's defaults", () => {
    expect(read(...SOCKET)).toEqual({
      sharedDir: '/srv',
      listen: { kind: 'path', path: '/run/fs.sock' },
      passthrough: {
        inodeFileHandles: 'prefer',
        cache: 'auto',
        xattr: false,
        posixAcl: 'never',
        securityLabel: 'never',
        killprivV2: false,
        allowMmap: false,
        readonly: false,
        writeback: false,
        readdirplus: true,
        allowDirectIo: false,
        preserveNoatime: false,
        announceSubmounts: true,
      },
      confinement: { sandbox: 'namespace', seccomp: 'kill', modcaps: [], uidMap: [], gidMap: [] },
      forMachines: [],
      logLevel: 'info',
      syslog: false,
      warnings: [],
    });
  });

  it('takes what libvirt says to an old virtiofsd', () => {
    const options = read(
      '--fd=23',
      '-o',
      'source=/srv/share,cache=always,xattr,sandbox=chroot,no_flock,no_posix_lock',
    );
    expect(options).toMatchObject({
      sharedDir: '/srv/share',
      listen: { kind: 'fd', fd: 23 },
      passthrough: { cache: 'always', xattr: true },
      confinement: { sandbox: 'chroot' },
      warnings: ['-o is deprecated: use --cache=auto instead of -o cache=auto.'],
    });
  });

  it('takes what libvirt says to a new one', () => {
    const options = read(
      ...['--fd=23', '--shared-dir', '/srv', '--cache', 'metadata', '--sandbox', 'none'],
      ...['--thread-pool-size', '0', '--xattr', '--readonly', '--inode-file-handles=mandatory'],
    );
    expect(options).toMatchObject({
      sharedDir: '/srv',
      passthrough: {
        cache: 'metadata',
        xattr: true,
        readonly: true,
        inodeFileHandles: 'mandatory',
      },
      confinement: { sandbox: 'none', seccomp: 'kill' },
    });
  });

  it('lets the last occurrence win, and -o over all others', () => {
    expect(read(...SOCKET, '--cache=always', '--cache', 'Never').passthrough.cache).toBe('never');
    expect(read(...SOCKET, '-o', 'cache=always', '--cache=auto').passthrough.cache).toBe('always');
    expect(read(...SOCKET, '-o', 'xattr', '-o', 'no_xattr,writeback').passthrough).toMatchObject({
      xattr: false,
      writeback: true,
    });
    expect(read(...SOCKET, '--xattr', '-o', 'no_xattr').passthrough.xattr).toBe(false);
    const killpriv = (...args: string[]) => read(...SOCKET, ...args).passthrough.killprivV2;
    expect(killpriv('--killpriv-v2')).toBe(true);
    expect(killpriv('--killpriv-v2', '--no-killpriv-v2')).toBe(false);
    expect(killpriv('--no-killpriv-v2', '--killpriv-v2')).toBe(true);
    const announced = (...args: string[]) => read(...SOCKET, ...args).passthrough.announceSubmounts;
    expect(announced('--no-announce-submounts')).toBe(false);
    expect(announced('--no-announce-submounts', '--announce-submounts')).toBe(true);
  });

  it.each([
    [['--xattrmap', ':map::user.virtiofs.:']],
    [['--posix-acl']],
    [['--posix-acl=auto']],
    [['--security-label']],
    [['-o', 'security_label']],
    [['-o', 'xattrmap=:map::user.virtiofs.:']],
  ])('takes %j to mean extended attributes', (args) => {
    expect(read(...SOCKET, ...args).passthrough.xattr).toBe(true);
  });

  it('says when ACLs and labels are wanted', () => {
    const { posixAcl } = read(...SOCKET, '--posix-acl').passthrough;
    expect(posixAcl).toBe('always');
    expect(read(...SOCKET, '--posix-acl=auto').passthrough.posixAcl).toBe('auto');
    expect(read(...SOCKET, '--posix-acl', '-o', 'no_posix_acl').passthrough.posixAcl).toBe('never');
    expect(read(...SOCKET, '--security-label=auto').passthrough.securityLabel).toBe('auto');
  });

  it('collects what may be repeated', () => {
    const { confinement, passthrough } = read(
      ...SOCKET,
      ...['--uid-map', ':0:100000:1000:', '--uid-map=/1000/1000/1/', '--gid-map=:0:5:1:'],
      ...['--translate-uid', 'map:0:1000:1', '--translate-uid', 'forbid-guest:5:2'],
      ...['--translate-gid', 'squash-host:0:7:100'],
    );
    expect(confinement.uidMap).toEqual([
      { inside: 0, outside: 100000, count: 1000 },
      { inside: 1000, outside: 1000, count: 1 },
    ]);
    expect(confinement.gidMap).toHaveLength(1);
    expect(passthrough.translation?.uid.toHost).toHaveLength(2);
    expect(passthrough.translation?.uid.toGuest).toHaveLength(1);
    expect(passthrough.translation?.gid.toGuest).toHaveLength(1);
  });

  it('knows the old names, and says so', () => {
    const { listen, logLevel, passthrough, warnings } = read(
      ...['--shared-dir=/srv', '--socket', '/run/s', '--inode-file-handles=fallback', '-d', '-f'],
    );
    expect(listen).toEqual({ kind: 'path', path: '/run/s' });
    expect(logLevel).toBe('debug');
    expect(passthrough.inodeFileHandles).toBe('prefer');
    expect(warnings).toHaveLength(4);
  });

  it.each([
    [['--fd', '3', '--socket-path', 's'], '--fd and --socket-path exclude each other'],
    [['--fd', '3', '--socket-group', 'kvm'], '--fd and --socket-group exclude each other'],
    [['--socket-group', 'kvm'], '--socket-group needs --socket-path'],
    [['--fd', 'three'], 'Give a descriptor'],
    [['--tag', ''], '1 to 36 bytes'],
    [['--tag', 'é'.repeat(19)], '1 to 36 bytes'],
    [['--thread-pool-size=4'], "--thread-pool-size <n>' argument '4'"],
    [['--cache=none'], '--cache'],
    [['--inode-file-handles=maybe'], '--inode-file-handles'],
    [['--sandbox=jail'], '--sandbox'],
    [['--seccomp=maybe'], '--seccomp'],
    [['--log-level=loud'], '--log-level'],
    [['--rlimit-nofile=-1'], '--rlimit-nofile'],
    [['--modcaps=sys_admin'], '--modcaps'],
    [['--uid-map=0:1:2'], '--uid-map'],
    [['--xattrmap=:map:x'], '--xattrmap'],
    [['--posix-acl=sometimes'], '--posix-acl'],
    [['--posix-acl', '--translate-gid=map:0:1:1'], 'would break the ACLs'],
    [['--translate-gid=map:0:1'], '--translate-gid: "map:0:1" has 2 numbers instead of 3'],
    [['--migration-mode=find-paths'], '--migration-mode: this daemon hands no device state'],
    [['--migration-on-error', 'abort'], '--migration-on-error: this daemon'],
    [['--migration-verify-handles'], '--migration-verify-handles: this daemon'],
    [['--migration-confirm-paths'], '--migration-confirm-paths: this daemon'],
    [['--daemonize'], "unknown option '--daemonize'"],
    [['-o', 'timeout=5'], "Invalid compat argument '-o timeout=5'"],
  ] as const)('refuses %j by name', (args, why) => {
    expect(() => read(...args)).toThrow(why);
  });

  it('makes wrong usage an end of commander', () => {
    expect(() => read('--cache=none')).toThrow(CommanderError);
  });

  it('prints the capabilities that vhost-user.json knows', () => {
    expect(JSON.parse(CAPABILITIES)).toEqual({ type: 'fs', features: ['separate-options'] });
  });
});

describe('-o LIST', () => {
  it('has words of its own', () => {
    expect(parseCompat(['cache=none,loglevel=err', 'modcaps=+sys_admin,no_readdirplus'])).toEqual({
      cache: 'never',
      logLevel: 'error',
      modcaps: [{ capability: 'SYS_ADMIN', keep: true }],
      readdirplus: false,
    });
    expect(parseCompat(['announce_submounts,no_flock,no_posix_lock'])).toEqual({});
    expect(parseCompat(['allow_direct_io,killpriv_v2,posix_acl'])).toEqual({
      allowDirectIo: true,
      killprivV2: true,
      posixAcl: 'always',
    });
  });

  it.each([
    ['', "Invalid compat argument '-o '"],
    ['flock', "Invalid compat argument '-o flock'"],
    ['source', "Invalid compat argument '-o source'"],
    ['xattr=1', "Invalid compat argument '-o xattr=1'"],
    ['source=a=b', "Invalid compat argument '-o source=a=b'"],
    ['cache=never', "Invalid compat value 'never' for '-o cache'"],
    ['sandbox=none', "Invalid compat value 'none' for '-o sandbox'"],
    ['loglevel=error', "Invalid compat value 'error' for '-o loglevel'"],
    ['toString', "Invalid compat argument '-o toString'"],
    ['cache=constructor', "Invalid compat value 'constructor' for '-o cache'"],
    ['xattrmap=:a', "Invalid compat value ':a' for '-o xattrmap'"],
  ])('refuses "%s"', (list, why) => {
    expect(() => parseCompat([list])).toThrow(why);
  });
});

describe('confinement', () => {
  const plain: Confinement = {
    sandbox: 'namespace',
    seccomp: 'kill',
    modcaps: [],
    uidMap: [],
    gidMap: [],
  };
  const range = [{ inside: 0, outside: 1, count: 1 }];

  it('reads capabilities', () => {
    expect(parseModcaps('+sys_admin:-CHOWN')).toEqual([
      { capability: 'SYS_ADMIN', keep: true },
      { capability: 'CHOWN', keep: false },
    ]);
    for (const wrong of ['', 'chown', '+', '+nothing', '-chown:', '+toString']) {
      expect(() => parseModcaps(wrong)).toThrow();
    }
  });

  it('reads ranges of ids', () => {
    expect(parseIdRange(':0:100000:65536:')).toEqual({ inside: 0, outside: 100000, count: 65536 });
    expect(parseIdRange(',0,1,2,').count).toBe(2);
    for (const wrong of ['', ':', ':0:1:', ':0:1:2:3:', ':0:1:2', '0:1:2:', ':0:x:2:', '101010']) {
      expect(() => parseIdRange(wrong), wrong).toThrow();
    }
    expect(() => parseIdRange(':0:4294967296:1:')).toThrow('4294967295');
  });

  it('asks for the right user', () => {
    const refused = (changes: Partial<Confinement>, euid: number) =>
      refusedConfinement({ ...plain, ...changes }, euid, true);
    expect(refused({}, 0)).toBeUndefined();
    expect(refused({}, 1000)).toBeUndefined();
    expect(refused({ sandbox: 'chroot' }, 0)).toBeUndefined();
    expect(refused({ sandbox: 'chroot' }, 1000)).toContain('root');
    expect(refused({ uidMap: range }, 1000)).toBeUndefined();
    expect(refused({ uidMap: range }, 0)).toContain('--uid-map');
    expect(refused({ gidMap: range, sandbox: 'none' }, 1000)).toContain('--gid-map');
  });

  it('keeps what file handles need', () => {
    const without = { ...plain, modcaps: parseModcaps('-dac_read_search') };
    expect(refusedConfinement(without, 0, true)).toContain('dac_read_search');
    expect(refusedConfinement(without, 0, false)).toBeUndefined();
    const again = { ...plain, modcaps: parseModcaps('-dac_read_search:+dac_read_search') };
    expect(refusedConfinement(again, 0, true)).toBeUndefined();
  });
});

/** The scratch as far as names need it. */
const memory = (() => {
  const buffer = new ArrayBuffer(4096);
  return {
    u8: new Uint8Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
  };
})();

/** What the host calls a name of the guest, or the errno. */
function toHost(map: XattrMap, name: string): string | number {
  const bytes = new TextEncoder().encode(name);
  memory.u8.fill(0xa5);
  memory.u8.set(bytes, 2048);
  memory.u8[2048 + bytes.length] = 0;
  const at = hostName(map, memory, 2048, bytes.length);
  if (at < 0) return -at;
  expect([2048, NAME]).toContain(at);
  return new TextDecoder().decode(memory.u8.subarray(at, memory.u8.indexOf(0, at)));
}

/** What the guest sees of a name of the host, or null. */
function toGuest(map: XattrMap, name: string): string | null {
  const bytes = new TextEncoder().encode(name);
  const hidden = hiddenPrefix(map, bytes, 0, bytes.length);
  return hidden < 0 ? null : name.slice(hidden);
}

const EPERM = 1;
const ERANGE = 34;
const EOPNOTSUPP = 95;

describe('--xattrmap', () => {
  it('puts a prefix before all names', () => {
    const map = parseXattrmap(':map::user.virtiofs.:');
    expect(toHost(map, 'trusted.x')).toBe('user.virtiofs.trusted.x');
    expect(toGuest(map, 'user.virtiofs.trusted.x')).toBe('trusted.x');
    expect(toGuest(map, 'user.other')).toBeNull();
    expect(parseXattrmap(':prefix:all::user.virtiofs.: :bad:all:::')).toEqual(map);
  });

  it('puts a prefix before some names', () => {
    const map = parseXattrmap('/map/trusted./user.virtiofs./');
    expect(toHost(map, 'trusted.x')).toBe('user.virtiofs.trusted.x');
    expect(toHost(map, 'user.virtiofs.trusted.x')).toBe(EPERM);
    expect(toHost(map, 'user.mine')).toBe('user.mine');
    expect(toGuest(map, 'user.virtiofs.trusted.x')).toBe('trusted.x');
    expect(toGuest(map, 'trusted.x')).toBeNull();
    expect(toGuest(map, 'user.mine')).toBe('user.mine');
  });

  it('takes the first rule that fits', () => {
    const map = parseXattrmap(`
      /prefix/all/trusted./user.virtiofs./
      /bad/server//trusted./
      /bad/client/user.virtiofs.//
      :unsupported:all:security.:security.:
      /ok/all///
    `);
    expect(toHost(map, 'trusted.a')).toBe('user.virtiofs.trusted.a');
    expect(toHost(map, 'user.virtiofs.a')).toBe(EPERM);
    expect(toHost(map, 'security.a')).toBe(EOPNOTSUPP);
    expect(toHost(map, 'user.a')).toBe('user.a');
    expect(toGuest(map, 'trusted.a')).toBeNull();
    expect(toGuest(map, 'security.a')).toBeNull();
    expect(toGuest(map, 'user.a')).toBe('user.a');
  });

  it('goes without white space, and with a separator for each rule', () => {
    const map = parseXattrmap(':prefix:client:a:b:,bad,all,,,');
    expect(map).toHaveLength(2);
    expect(toHost(map, 'ax')).toBe('bax');
    expect(toGuest(map, 'bax')).toBeNull();
  });

  it('lets no name grow beyond what the kernel takes', () => {
    const map = parseXattrmap(':map::user.virtiofs.:');
    expect(toHost(map, 'x'.repeat(255 - 14))).toBe(`user.virtiofs.${'x'.repeat(241)}`);
    expect(toHost(map, 'x'.repeat(256 - 14))).toBe(ERANGE);
    expect(toHost(map, 'x'.repeat(1000))).toBe(ERANGE);
  });

  it('knows when the kernel no longer sees file capabilities', () => {
    const name = (rules: string) => {
      const bytes = otherHostName(parseXattrmap(rules), 'security.capability');
      return bytes === null ? null : new TextDecoder().decode(bytes);
    };
    expect(name(':map::user.virtiofs.:')).toBe('user.virtiofs.security.capability\0');
    expect(name(':map:trusted.:user.virtiofs.:')).toBeNull();
    expect(name(':bad:all:security.:: :ok:all:::')).toBeNull();
  });

  it.each([
    ['', 'There are no rules'],
    ['  ', 'There are no rules'],
    [':prefix:client:hi', 'Rule 1 does not end'],
    [':ok:all::: :TOMATO:all:::', 'Rule 2: the type "TOMATO"'],
    ['/prefix/helloworld///', 'Rule 1: the scope "helloworld"'],
    [':map:a:b: :map:a:b:', 'Rule 1 is "map"'],
    [':prefix:all:trusted.:user.:', 'Not every name has a rule'],
    [':ok:client:::', 'Not every name has a rule'],
  ])('refuses "%s"', (rules, why) => {
    expect(() => parseXattrmap(rules)).toThrow(why);
  });
});

describe('--translate-uid', () => {
  it('translates one way or both', () => {
    const { toHost: host, toGuest: guest } = parseIdTranslation([
      'map:0:1000:10',
      'guest:100:5000:2',
      'host:7000:70:2',
    ]);
    expect([0, 9, 10, 100, 101, 102].map((id) => translated(host, id))).toEqual([
      1000, 1009, 10, 5000, 5001, 102,
    ]);
    expect([1000, 1009, 1010, 5000, 7001].map((id) => translated(guest, id))).toEqual([
      0, 9, 1010, 5000, 71,
    ]);
  });

  it('squashes and forbids', () => {
    const { toHost: host, toGuest: guest } = parseIdTranslation([
      'squash-guest:0:1000:4294967295',
      'squash-host/0/65534/100',
    ]);
    expect(translated(host, 4294967294)).toBe(1000);
    expect(translated(host, 4294967295)).toBe(4294967295);
    expect(translated(guest, 99)).toBe(65534);
    expect(translated(guest, 100)).toBe(100);
    const { toHost: forbidding } = parseIdTranslation(['FORBID-guest:5:2']);
    expect([4, 5, 6, 7].map((id) => translated(forbidding, id))).toEqual([4, -1, -1, 7]);
  });

  it.each([
    ['', 'not of the form'],
    ['map', 'not of the form'],
    ['map:1:2', '2 numbers instead of 3'],
    ['forbid-guest:1:2:3', '3 numbers instead of 2'],
    ['both:1:2:3', '"both" is none of'],
    ['map:x:2:3', '"x" is not a number'],
    ['map:-1:2:3', '"-1" is not a number'],
    ['map:0:4294967290:10', 'beyond the largest id'],
    ['guest:4294967290:0:10', 'beyond the largest id'],
    ['forbid-guest:4294967290:10', 'beyond the largest id'],
  ])('refuses "%s"', (text, why) => {
    expect(() => parseIdTranslation([text])).toThrow(why);
  });

  it('refuses ranges that overlap', () => {
    expect(() => parseIdTranslation(['guest:0:0:10', 'map:9:100:1'])).toThrow('"map:9:100:1"');
    expect(() => parseIdTranslation(['host:0:0:10', 'guest:0:0:10'])).not.toThrow();
    expect(() => parseIdTranslation(['guest:0:0:10', 'guest:10:0:10'])).not.toThrow();
  });
});

describe('syslog', () => {
  it('stamps messages as RFC 3164 wants it', () => {
    expect(timestamp(new Date(2026, 0, 2, 3, 4, 5))).toBe('Jan  2 03:04:05');
    expect(timestamp(new Date(2026, 11, 31, 23, 59, 0))).toBe('Dec 31 23:59:00');
  });
});
