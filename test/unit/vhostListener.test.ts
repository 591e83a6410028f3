import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VhostListener } from '../../daemon/transport/vhostListener';
import { listenForVhostUser } from '../../daemon/transport/vhostListener';
import { loadAddon } from '../../native/index';

const native = loadAddon();
let folder: string;
let point: string;
let open: VhostListener[];

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'listener-'));
  point = path.join(folder, 'socket');
  open = [];
});
afterEach(() => {
  for (const listener of open) close(listener);
  fs.rmSync(folder, { recursive: true });
});

function listen(group?: string): VhostListener {
  const listener = listenForVhostUser(native, {
    kind: 'path',
    path: point,
    ...(group === undefined ? {} : { group }),
  });
  open.push(listener);
  return listener;
}

function close(listener: VhostListener): void {
  open = open.filter((each) => each !== listener);
  native.closeDescriptor(listener.fd);
  listener.close();
}

function mode(file: string): number {
  return fs.statSync(file).mode & 0o777;
}

describe('a socket at a path', () => {
  it('is for its owner only, beside a locked process id, and goes when it is closed', async () => {
    const listener = listen();
    expect(mode(point)).toBe(0o700);
    expect(mode(`${point}.pid`)).toBe(0o600);
    expect(fs.readFileSync(`${point}.pid`, 'utf8')).toBe(`${process.pid}\n`);
    const peer = net.connect(point);
    await once(peer, 'connect');
    peer.destroy();
    close(listener);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('can be for a group, too', () => {
    const group = fs
      .readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, , gid]) => Number(gid) === process.getgid?.());
    listen(group?.[0] ?? 'root');
    expect(mode(point)).toBe(0o770);
    expect(fs.statSync(point).gid).toBe(process.getgid?.());
    expect(() => {
      point += '2';
      listen('no such group');
    }).toThrow('There is no group no such group.');
  });

  it('belongs to one daemon at a time', () => {
    const first = listen();
    expect(() => listen()).toThrow(`it has locked ${point}.pid`);
    expect(fs.existsSync(point)).toBe(true);
    close(first);
    listen();
  });

  it('takes the place of one that nobody listens at', async () => {
    const first = listen();
    // As after kill -9: the lock goes with the process, the files stay.
    fs.renameSync(point, `${point}.kept`);
    close(first);
    fs.renameSync(`${point}.kept`, point);
    listen();
    const peer = net.connect(point);
    await once(peer, 'connect');
    peer.destroy();
  });

  it('does not take the place of anything else', () => {
    fs.writeFileSync(point, 'mine');
    expect(() => listen()).toThrow('is there already and is no socket');
    expect(fs.readFileSync(point, 'utf8')).toBe('mine');
    expect(fs.readdirSync(folder)).toEqual(['socket']);
  });

  it('follows no link to write the process id', () => {
    const victim = path.join(folder, 'victim');
    fs.writeFileSync(victim, 'precious');
    fs.symlinkSync(victim, `${point}.pid`);
    expect(() => listen()).toThrow('ELOOP');
    expect(fs.readFileSync(victim, 'utf8')).toBe('precious');
  });

  it('leaves what somebody else has put there meanwhile', () => {
    const listener = listen();
    fs.rmSync(point);
    fs.writeFileSync(point, 'theirs');
    close(listener);
    expect(fs.readFileSync(point, 'utf8')).toBe('theirs');
  });

  it('cannot be where it cannot be', () => {
    point = path.join(folder, 'no', 'folder');
    expect(() => listen()).toThrow('ENOENT');
    point = path.join(folder, 'x'.repeat(108));
    expect(() => listen()).toThrow('too long for a socket');
  });
});

describe('an inherited descriptor', () => {
  it('must be a listening socket of the Unix kind', () => {
    const listener = listen();
    expect(listenForVhostUser(native, { kind: 'fd', fd: listener.fd }).fd).toBe(listener.fd);
    const pair = native.socketPair();
    if (typeof pair === 'number') throw new Error('no sockets');
    const file = fs.openSync('/dev/null', 'r');
    for (const fd of [...pair, file, 12345]) {
      expect(() => listenForVhostUser(native, { kind: 'fd', fd })).toThrow(
        `Descriptor ${fd} is no listening Unix socket: --fd wants one.`,
      );
    }
    for (const fd of [...pair, file]) fs.closeSync(fd);
  });
});
