/** What the options change for a peer. Where the kernel must play along, test/filesystem looks. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Opcode } from '../../daemon/fuse/opcodes';
import { parseIdTranslation } from '../../daemon/options/idTranslation';
import { parseXattrmap } from '../../daemon/options/xattrmap';
import { raiseDescriptorLimit } from '../../daemon/passthrough/descriptorLimit';
import type { PassthroughOptions } from '../../daemon/passthrough/options';
import { loadAddon } from '../../native/index';
import type { Answer } from './fusePeer';
import { Peer, joined, text, words } from './fusePeer';

const native = loadAddon();
const EPERM = 1;
const EIO = 5;
const EINVAL = 22;
const ENFILE = 23;
const EROFS = 30;
const ENOSYS = 38;
const ENODATA = 61;
const EPROTO = 71;
const EOPNOTSUPP = 95;

const { O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
/** What a kernel offers, and the bits of ACLs, of killpriv and of security contexts in it. */
const OFFERED = 0x73fffffb;
const POSIX_ACL = 1 << 20;
const HANDLE_KILLPRIV_V2 = 1 << 28;
const OFFERED2 = 0x5fd;
const SECURITY_CTX = 1;

const NOTHING: Uint8Array = new Uint8Array(0);

const peers: Peer[] = [];
afterEach(() => {
  for (const peer of peers.splice(0)) peer.end();
});

/** A session with these options. */
function begin(options: Partial<PassthroughOptions>): Peer {
  const peer = new Peer(options);
  peers.push(peer);
  expect(peer.init().errno).toBe(0);
  return peer;
}

function nodeOf({ errno, body }: Answer): number {
  expect(errno).toBe(0);
  return body.getUint32(0, true);
}

/** uid, gid and permissions in an entry's answer. */
function ownerOf({ errno, body }: Answer) {
  expect(errno).toBe(0);
  return {
    mode: body.getUint32(40 + 60, true) & 0o7777,
    uid: body.getUint32(40 + 68, true),
    gid: body.getUint32(40 + 72, true),
  };
}

function create(name: string, mode: number, umask = 0, extension = NOTHING): Uint8Array {
  return joined(words(O_RDWR | O_CREAT, mode, umask, 0), text(name), extension);
}

function mkdir(name: string, mode: number, umask = 0, extension = NOTHING): Uint8Array {
  return joined(words(mode, umask), text(name), extension);
}

function setxattr(name: string, value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return joined(words(bytes.length, 0), text(name), bytes);
}

function getxattr(peer: Peer, node: number, name: string): string | number | null {
  const { errno, body } = peer.ask(Opcode.GETXATTR, node, joined(words(200, 0), text(name)));
  return errno === 0 ? bytesOf(body) : errno;
}

function listxattr(peer: Peer, node: number): string[] {
  const { errno, body } = peer.ask(Opcode.LISTXATTR, node, words(4096, 0));
  expect(errno).toBe(0);
  return bytesOf(body)
    .split('\0')
    .filter((name) => name !== '')
    .sort();
}

function bytesOf(body: DataView): string {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
}

function onHost(peer: Peer, name: string): string {
  return path.join(peer.shared, name);
}

function hostAttribute(peer: Peer, file: string, name: string): string {
  const command = ['--absolute-names', '--only-values', '-h', '-n', name, onHost(peer, file)];
  return execFileSync('getfattr', command, { encoding: 'latin1' });
}

describe('INIT', () => {
  it.each([
    ['posixAcl', OFFERED & ~POSIX_ACL, OFFERED2],
    ['securityLabel', OFFERED, OFFERED2 & ~SECURITY_CTX],
  ] as const)('fails where %s must be and is not offered', (option, flags, flags2) => {
    const peer = new Peer({ [option]: 'always' });
    peers.push(peer);
    expect(peer.init(flags, flags2).errno).toBe(EPROTO);
    expect(peer.log.filter((line) => line.startsWith('error'))).toHaveLength(1);
    expect(peer.ask(Opcode.GETATTR, 1, words(0, 0, 0, 0)).errno).toBe(EIO);
    expect(peer.init().errno).toBe(0);

    const lenient = new Peer({ [option]: 'auto' });
    peers.push(lenient);
    expect(lenient.init(flags, flags2).errno).toBe(0);
    expect(lenient.log.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });

  it('goes on without killpriv', () => {
    const peer = new Peer({ killprivV2: true });
    peers.push(peer);
    expect(peer.init(OFFERED & ~HANDLE_KILLPRIV_V2).errno).toBe(0);
    expect(peer.log.join()).toContain('--killpriv-v2');
  });

  it('collects writes only where the peer does', () => {
    const peer = begin({ writeback: true });
    fs.writeFileSync(onHost(peer, 'f'), '');
    const flagsOfOpen = () => {
      const { body } = peer.ask(Opcode.OPEN, peer.lookup('f'), words(O_WRONLY, 0));
      const fd = fs
        .readdirSync('/proc/self/fd')
        .filter((name) => linkOf(name) === onHost(peer, 'f'))
        .map((name) => fs.readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))
        .map((info) => parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? '', 8) & 3);
      expect(body.byteLength).toBe(16);
      return fd;
    };
    expect(flagsOfOpen()).toContain(O_RDWR);
    expect(peer.init(OFFERED & ~(1 << 16)).errno).toBe(0);
    expect(flagsOfOpen()).toContain(O_WRONLY);
  });
});

function linkOf(name: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${name}`);
  } catch {
    return '';
  }
}

describe('extended attributes', () => {
  it('are nobody’s business when they are off', () => {
    const peer = begin({ xattr: false });
    expect(getxattr(peer, 1, 'user.a')).toBe(ENOSYS);
    expect(peer.ask(Opcode.SETXATTR, 1, setxattr('user.a', 'x')).errno).toBe(ENOSYS);
  });

  it('have other names on the host', () => {
    const peer = begin({ xattrmap: parseXattrmap(':map:trusted.:user.virtiofs.:') });
    fs.writeFileSync(onHost(peer, 'f'), '');
    const node = peer.lookup('f');
    expect(peer.ask(Opcode.SETXATTR, node, setxattr('trusted.a', 'mapped')).errno).toBe(0);
    expect(peer.ask(Opcode.SETXATTR, node, setxattr('user.b', 'plain')).errno).toBe(0);
    expect(hostAttribute(peer, 'f', 'user.virtiofs.trusted.a')).toBe('mapped');
    expect(getxattr(peer, node, 'trusted.a')).toBe('mapped');
    expect(listxattr(peer, node)).toEqual(['trusted.a', 'user.b']);
    // What the map keeps for itself.
    expect(getxattr(peer, node, 'user.virtiofs.trusted.a')).toBe(ENODATA);
    const direct = setxattr('user.virtiofs.x', 'x');
    expect(peer.ask(Opcode.SETXATTR, node, direct).errno).toBe(EPERM);
    expect(peer.ask(Opcode.REMOVEXATTR, node, text('user.virtiofs.trusted.a')).errno).toBe(EPERM);
    expect(peer.ask(Opcode.REMOVEXATTR, node, text('trusted.a')).errno).toBe(0);
    expect(getxattr(peer, node, 'trusted.a')).toBe(ENODATA);
    // The length is that of the host's list: enough for the guest's.
    const { body } = peer.ask(Opcode.LISTXATTR, node, words(0, 0));
    expect(body.getUint32(0, true)).toBeGreaterThanOrEqual('user.b\0'.length);
  });

  it('hide what has no name in the guest', () => {
    const peer = begin({ xattrmap: parseXattrmap(':map::user.virtiofs.:') });
    fs.writeFileSync(onHost(peer, 'f'), '');
    for (const name of ['user.other', 'user.virtiofs.', 'user.virtiofs.user.mine']) {
      execFileSync('setfattr', ['-n', name, '-v', 'x', onHost(peer, 'f')]);
    }
    expect(listxattr(peer, peer.lookup('f'))).toEqual(['user.mine']);
  });

  it('keep ACLs away that were not agreed on', () => {
    const peer = begin({ xattrmap: parseXattrmap(':map::user.virtiofs.:') });
    for (const name of ['system.posix_acl_access', 'system.posix_acl_default', 'system.', '']) {
      expect(getxattr(peer, 1, name), name).toBe(EOPNOTSUPP);
    }
  });

  it('of a read-only share stay as they are', () => {
    const peer = begin({ readonly: true, xattr: false });
    expect(peer.ask(Opcode.SETXATTR, 1, setxattr('user.a', 'x')).errno).toBe(EROFS);
    expect(peer.ask(Opcode.REMOVEXATTR, 1, text('user.a')).errno).toBe(EROFS);
  });
});

/** An ACL that gives user 1000 the right to read: fs/posix_acl.c, posix_acl_xattr_header. */
const ACL = (() => {
  const entries = [
    [1, 6, -1],
    [2, 4, 1000],
    [4, 4, -1],
    [0x10, 6, -1],
    [0x20, 0, -1],
  ] as const;
  const bytes = new DataView(new ArrayBuffer(4 + entries.length * 8));
  bytes.setUint32(0, 2, true);
  entries.forEach(([tag, permissions, id], i) => {
    bytes.setUint16(4 + i * 8, tag, true);
    bytes.setUint16(6 + i * 8, permissions, true);
    bytes.setInt32(8 + i * 8, id, true);
  });
  return new Uint8Array(bytes.buffer);
})();

function setAcl(name: string, flags: number): Uint8Array {
  return joined(words(ACL.length, 0, flags, 0), text(name), ACL);
}

describe('POSIX ACLs', () => {
  it('decide about the mode of new objects where a directory has some', () => {
    const peer = begin({ posixAcl: 'always' });
    const plain = nodeOf(peer.ask(Opcode.MKDIR, 1, mkdir('plain', 0o777, 0o027)));
    expect(fs.statSync(onHost(peer, 'plain')).mode & 0o7777).toBe(0o750);
    const special = nodeOf(peer.ask(Opcode.MKDIR, 1, mkdir('special', 0o777)));
    const acl = setAcl('system.posix_acl_default', 0);
    expect(peer.ask(Opcode.SETXATTR, special, acl).errno).toBe(0);
    const modes = (parent: number) => [
      ownerOf(peer.ask(Opcode.CREATE, parent, create('f', 0o666, 0o077))).mode,
      ownerOf(peer.ask(Opcode.MKDIR, parent, mkdir('d', 0o777, 0o077))).mode,
      ownerOf(peer.ask(Opcode.MKNOD, parent, joined(words(0o10666, 0, 0o077, 0), text('p')))).mode,
    ];
    expect(modes(plain)).toEqual([0o600, 0o700, 0o600]);
    expect(modes(special)).toEqual([0o660, 0o660, 0o660]);
    // The umask of one request is not that of the next.
    expect(ownerOf(peer.ask(Opcode.CREATE, 1, create('last', 0o666))).mode).toBe(0o666);
  });

  it('take the set-group-id bit away when the guest says so', () => {
    const peer = begin({ posixAcl: 'always' });
    const node = nodeOf(peer.ask(Opcode.CREATE, 1, create('f', 0o755)));
    const modeAfter = (name: string, flags: number) => {
      fs.chmodSync(onHost(peer, 'f'), 0o2755);
      expect(peer.ask(Opcode.SETXATTR, node, setAcl(name, flags)).errno).toBe(0);
      return fs.statSync(onHost(peer, 'f')).mode & 0o7000;
    };
    expect(modeAfter('system.posix_acl_access', 0)).toBe(0o2000);
    expect(modeAfter('system.posix_acl_access', 1)).toBe(0);
    expect(modeAfter('user.other', 1)).toBe(0o2000);
    expect(listxattr(peer, node)).toEqual(['system.posix_acl_access', 'user.other']);
  });

  it('leave the umask to a peer that knows none', () => {
    const peer = begin({});
    expect(ownerOf(peer.ask(Opcode.CREATE, 1, create('f', 0o666, 0o077))).mode).toBe(0o666);
  });
});

/** FUSE_SECURITY_CTX's record with one context. */
function label(name: string, value: string): Uint8Array {
  const content = text(name, value).subarray(0, name.length + 1 + value.length);
  const size = (16 + content.length + 7) & ~7;
  return joined(
    words(size, 1, value.length, 0),
    content,
    new Uint8Array(size - 16 - content.length),
  );
}

describe('security labels', () => {
  const LABEL = label('user.label', 'confidential');

  it.each(['', 'user.virtiofs.'])('are set on what is made, as "%suser.label"', (prefix) => {
    const xattrmap = parseXattrmap(prefix === '' ? ':ok:all:::' : `:map::${prefix}:`);
    const peer = begin({ securityLabel: 'always', xattrmap });
    expect(peer.ask(Opcode.CREATE, 1, create('f', 0o644, 0, LABEL)).errno).toBe(0);
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755, 0, LABEL)).errno).toBe(0);
    for (const name of ['f', 'd']) {
      expect(hostAttribute(peer, name, `${prefix}user.label`)).toBe('confidential');
    }
  });

  it('take back what they cannot be set on', () => {
    const peer = begin({ securityLabel: 'always' });
    // User attributes are for files and directories alone (xattr(7)).
    const symlink = joined(text('s', 'target'), LABEL);
    expect(peer.ask(Opcode.SYMLINK, 1, symlink).errno).toBe(EPERM);
    const fifo = joined(words(0o10644, 0, 0, 0), text('p'), LABEL);
    expect(peer.ask(Opcode.MKNOD, 1, fifo).errno).toBe(EPERM);
    const unknown = label('unknown.label', 'x');
    expect(peer.ask(Opcode.CREATE, 1, create('f', 0o644, 0, unknown)).errno).toBe(EOPNOTSUPP);
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755, 0, unknown)).errno).toBe(EOPNOTSUPP);
    expect(fs.readdirSync(peer.shared)).toEqual([]);
    const before = fs.readdirSync('/proc/self/fd').length;
    peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755, 0, unknown));
    peer.ask(Opcode.CREATE, 1, create('f', 0o644, 0, unknown));
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('need a record, if only an empty one', () => {
    const peer = begin({ securityLabel: 'always' });
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755)).errno).toBe(EINVAL);
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755, 0, words(8, 0))).errno).toBe(0);
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('e', 0o755, 0, words(8, 2))).errno).toBe(EINVAL);
    const plain = begin({});
    expect(plain.ask(Opcode.MKDIR, 1, mkdir('d', 0o755, 0, LABEL)).errno).toBe(EINVAL);
  });
});

const asRoot = process.geteuid?.() === 0;

describe.skipIf(!asRoot)('killpriv', () => {
  const KILL = 1 << 11;

  it.each([true, false])('clears bits on writes and truncations: %s', (killprivV2) => {
    const peer = begin({ killprivV2 });
    fs.writeFileSync(onHost(peer, 'f'), 'content');
    const node = peer.lookup('f');
    const opened = peer.ask(Opcode.OPEN, node, words(O_RDWR, 0));
    const fh = opened.body.getUint32(0, true);
    const bitsAfter = (opcode: number, body: Uint8Array) => {
      fs.chmodSync(onHost(peer, 'f'), 0o6755);
      expect(peer.ask(opcode, node, body).errno).toBe(0);
      return fs.statSync(onHost(peer, 'f')).mode & 0o6000;
    };
    const cleared = killprivV2 ? 0 : 0o6000;
    const write = (flags: number) =>
      joined(words(fh, 0, 0, 0, 1, flags, 0, 0, 0, 0), new Uint8Array([120]));
    expect(bitsAfter(Opcode.WRITE, write(0))).toBe(0o6000);
    expect(bitsAfter(Opcode.WRITE, write(4))).toBe(cleared);
    const size = (valid: number) => joined(words(8 | valid, 0, fh, 0, 3, 0), new Uint8Array(64));
    expect(bitsAfter(Opcode.SETATTR, size(0))).toBe(0o6000);
    expect(bitsAfter(Opcode.SETATTR, size(KILL))).toBe(cleared);
    expect(bitsAfter(Opcode.SETATTR, size(KILL | 64))).toBe(cleared);
    expect(bitsAfter(Opcode.OPEN, words(O_WRONLY | O_TRUNC, 0))).toBe(0o6000);
    expect(bitsAfter(Opcode.OPEN, words(O_WRONLY | O_TRUNC, 1))).toBe(cleared);
    // The capability is back.
    const effective = /CapEff:\s*(\S+)/.exec(fs.readFileSync('/proc/thread-self/status', 'utf8'));
    expect(BigInt(`0x${effective?.[1] ?? '0'}`) & 16n).toBe(16n);
  });

  it('clears them also when CREATE finds a file', () => {
    const peer = begin({ killprivV2: true });
    fs.writeFileSync(onHost(peer, 'f'), 'content');
    fs.chmodSync(onHost(peer, 'f'), 0o6755);
    const body = joined(words(O_RDWR | O_CREAT | O_TRUNC, 0o644, 0, 1), text('f'));
    expect(peer.ask(Opcode.CREATE, 1, body).errno).toBe(0);
    expect(fs.statSync(onHost(peer, 'f')).mode & 0o7777).toBe(0o755);
  });
});

describe('file capabilities under another name', () => {
  it('go when the file is written, truncated, labelled or given away', () => {
    const peer = begin({ xattrmap: parseXattrmap(':map::user.virtiofs.:') });
    fs.writeFileSync(onHost(peer, 'f'), 'content');
    const node = peer.lookup('f');
    const fh = peer.ask(Opcode.OPEN, node, words(O_RDWR, 0)).body.getUint32(0, true);
    const keptAfter = (opcode: number, body: Uint8Array) => {
      const set = setxattr('security.capability', 'all');
      expect(peer.ask(Opcode.SETXATTR, node, set).errno).toBe(0);
      expect(peer.ask(opcode, node, body).errno).toBe(0);
      return getxattr(peer, node, 'security.capability') === 'all';
    };
    const setattr = (valid: number, handle: number) => {
      const body = words(...new Array<number>(22).fill(0));
      new Uint32Array(body.buffer)[0] = valid;
      new Uint32Array(body.buffer)[2] = handle;
      new Uint32Array(body.buffer)[17] = 0o644;
      new Uint32Array(body.buffer)[19] = process.geteuid?.() ?? 0;
      return body;
    };
    const write = joined(words(fh, 0, 0, 0, 1, 0, 0, 0, 0, 0), new Uint8Array([120]));
    expect(keptAfter(Opcode.GETATTR, words(0, 0, 0, 0))).toBe(true);
    expect(keptAfter(Opcode.SETATTR, setattr(1, 0))).toBe(true);
    expect(keptAfter(Opcode.WRITE, write)).toBe(false);
    expect(keptAfter(Opcode.SETATTR, setattr(8, 0))).toBe(false);
    expect(keptAfter(Opcode.SETATTR, setattr(8 | 64, fh))).toBe(false);
    expect(keptAfter(Opcode.SETATTR, setattr(2, 0))).toBe(false);
    expect(keptAfter(Opcode.SETXATTR, setxattr('user.a', 'x'))).toBe(false);
    expect(keptAfter(Opcode.OPEN, words(O_RDWR, 0))).toBe(true);
    expect(keptAfter(Opcode.OPEN, words(O_RDWR | O_TRUNC, 0))).toBe(false);
  });
});

describe.skipIf(!asRoot)('translated ids', () => {
  const translation = {
    uid: parseIdTranslation(['map:0:1000:10', 'squash-guest:20:5000:5', 'forbid-guest:50:1']),
    gid: parseIdTranslation(['map:0:2000:10', 'forbid-guest:50:1']),
  };

  function as(uid: number, gid: number): Peer {
    const peer = begin({ translation });
    fs.chmodSync(peer.shared, 0o777);
    peer.caller = { uid, gid };
    return peer;
  }

  it('are the host’s for what is made, and the guest’s in answers', () => {
    const peer = as(3, 4);
    const made = peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755));
    expect(ownerOf(made)).toMatchObject({ uid: 3, gid: 4 });
    expect(fs.statSync(onHost(peer, 'd'))).toMatchObject({ uid: 1003, gid: 2004 });
    peer.caller = { uid: 22, gid: 100 };
    expect(ownerOf(peer.ask(Opcode.CREATE, 1, create('f', 0o644)))).toMatchObject({
      uid: 5000,
      gid: 100,
    });
    // The guest's root is somebody on the host.
    peer.caller = { uid: 0, gid: 0 };
    const file = peer.ask(Opcode.MKNOD, 1, joined(words(0o100644, 0, 0, 0), text('r')));
    expect(ownerOf(file)).toMatchObject({ uid: 0, gid: 0 });
    expect(fs.statSync(onHost(peer, 'r'))).toMatchObject({ uid: 1000, gid: 2000 });
    expect(ownerOf(peer.ask(Opcode.LOOKUP, 1, text('d')))).toMatchObject({ uid: 3, gid: 4 });
  });

  it('are translated on chown, and in listings', () => {
    const peer = as(3, 4);
    const node = nodeOf(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755)));
    const chown = (uid: number, gid: number, valid: number) => {
      const body = new Uint32Array(22);
      body.set([valid]);
      body.set([uid, gid], 19);
      return peer.ask(Opcode.SETATTR, node, new Uint8Array(body.buffer));
    };
    const { errno, body } = chown(9, 8, 6);
    expect([errno, body.getUint32(16 + 68, true), body.getUint32(16 + 72, true)]).toEqual([
      0, 9, 8,
    ]);
    expect(fs.statSync(onHost(peer, 'd'))).toMatchObject({ uid: 1009, gid: 2008 });
    expect(chown(50, 8, 6).errno).toBe(EIO);
    expect(chown(50, 8, 4).errno).toBe(0);
    expect(chown(9, 50, 4).errno).toBe(EIO);
    const attributes = peer.ask(Opcode.GETATTR, node, words(0, 0, 0, 0)).body;
    expect(attributes.getUint32(16 + 68, true)).toBe(9);

    const fh = peer.ask(Opcode.OPENDIR, 1, words(0, 0)).body.getUint32(0, true);
    const listed = peer.ask(Opcode.READDIRPLUS, 1, words(fh, 0, 0, 0, 4096, 0, 0, 0, 0, 0)).body;
    const owners: number[] = [];
    for (let at = 0; at < listed.byteLength; at += 160) {
      if (listed.getUint32(at, true) !== 0) owners.push(listed.getUint32(at + 40 + 68, true));
    }
    expect(owners).toEqual([9]);
  });

  it('may be forbidden', () => {
    const peer = as(50, 0);
    expect(peer.ask(Opcode.MKDIR, 1, mkdir('d', 0o755)).errno).toBe(EIO);
    peer.caller = { uid: 0, gid: 50 };
    expect(peer.ask(Opcode.CREATE, 1, create('f', 0o644)).errno).toBe(EIO);
    peer.caller = { uid: 0, gid: 0 };
    const groups = words(16, 32, 1, 50);
    expect(peer.ask(Opcode.CREATE, 1, create('f', 0o644, 0, groups)).errno).toBe(EIO);
    expect(fs.readdirSync(peer.shared)).toEqual([]);
  });
});

describe('descriptors', () => {
  it('end in ENFILE, and that is said once', () => {
    const { soft, hard } = native.openFilesLimit();
    // 610 are the daemon's own; the root and one more are left.
    expect(native.setOpenFilesLimit(612, hard)).toBe(0);
    try {
      const peer = begin({ rlimitNofile: 0 });
      for (const name of ['a', 'b']) fs.writeFileSync(onHost(peer, name), '');
      const node = peer.lookup('a');
      expect(peer.ask(Opcode.LOOKUP, 1, text('b')).errno).toBe(ENFILE);
      expect(peer.ask(Opcode.OPEN, node, words(0, 0)).errno).toBe(ENFILE);
      expect(peer.ask(Opcode.CREATE, 1, create('c', 0o644)).errno).toBe(ENFILE);
      expect(fs.existsSync(onHost(peer, 'c'))).toBe(false);
      expect(peer.log.filter((line) => line.includes('--rlimit-nofile'))).toHaveLength(1);
      peer.ask(Opcode.FORGET, node, words(1, 0));
      expect(peer.lookup('b')).toBeGreaterThan(1);
      expect(native.setOpenFilesLimit(609, hard)).toBe(0);
      expect(() => raiseDescriptorLimit(native, 0, 'never', () => undefined)).toThrow('needs 610');
    } finally {
      native.setOpenFilesLimit(soft, hard);
    }
  });
});

describe('a read-only share', () => {
  it('says so first', () => {
    const peer = begin({ readonly: true });
    fs.writeFileSync(onHost(peer, 'f'), 'x');
    for (const [opcode, body] of [
      [Opcode.MKDIR, mkdir('a/b', 0o755)],
      [Opcode.UNLINK, text('nothing')],
      [Opcode.RENAME, joined(words(1, 0), text('a', 'b'))],
      [Opcode.LINK, joined(words(99, 0), text('a'))],
      [Opcode.SETATTR, new Uint8Array(88)],
      [Opcode.WRITE, new Uint8Array(40)],
      [Opcode.FALLOCATE, new Uint8Array(32)],
      [Opcode.COPY_FILE_RANGE, new Uint8Array(56)],
      [Opcode.ACCESS, words(2, 0)],
    ] as const) {
      expect(peer.ask(opcode, 99, body).errno, String(opcode)).toBe(EROFS);
    }
    const node = peer.lookup('f');
    const open = (flags: number) => peer.ask(Opcode.OPEN, node, words(flags, 0)).errno;
    expect([open(0), open(O_WRONLY), open(O_RDWR), open(O_EXCL), open(O_TRUNC)]).toEqual([
      0,
      EROFS,
      EROFS,
      EROFS,
      EINVAL,
    ]);
    expect(fs.readFileSync(onHost(peer, 'f'), 'utf8')).toBe('x');
  });
});
