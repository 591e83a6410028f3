/** Our daemon as a program: sockets, users, its end. */

import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { daemonProgram } from '../filesystem/harness';
import { startDaemon } from './daemons';
import { Frontend } from './frontend';
import { requests as r } from './fuse';
import { native } from './native';
import { FILES, daemonOnTree, oneDaemonATest, said, served, smallTree, works } from './served';
import { ProtocolFeature } from './vhostUser';

const NOBODY = 65_534;

describe('the socket', () => {
  oneDaemonATest();

  it('may be one that the daemon inherits', async () => {
    const { daemon, fs: guest } = await served({}, { byFd: true });
    await works(guest);
    await guest.close();
    expect(await daemon.ended()).toBe(0);
  });

  it('takes one connection', async () => {
    const { daemon, fs: guest } = await served();
    expect(native.connectUnix(daemon.socketPath)).toBe(-111);
    await works(guest);
  });

  it('is gone with the daemon, as its pid file is', async () => {
    const { daemon, fs: guest } = await served();
    expect(fs.existsSync(`${daemon.socketPath}.pid`)).toBe(true);
    expect(fs.statSync(daemon.socketPath).mode & 0o777).toBe(0o700);
    await guest.close();
    expect(await daemon.ended()).toBe(0);
    expect(fs.existsSync(daemon.socketPath)).toBe(false);
    expect(fs.existsSync(`${daemon.socketPath}.pid`)).toBe(false);
  });

  it('is not taken from a daemon that runs', async () => {
    const { daemon, fs: guest } = await served();
    const program = await daemonProgram();
    const { socketPath } = daemon;
    const second = startDaemon('ours', smallTree(), { program, socketPath });
    expect(await second.ended()).toBe(1);
    expect(second.log()).toMatch(/Another daemon serves this socket path/);
    await works(guest);
  });
});

describe('the daemon', () => {
  oneDaemonATest();

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('ends at %s', async (signal) => {
    const { daemon, fs: guest } = await served();
    process.kill(daemon.pid, signal);
    expect(await daemon.ended()).toBe(0);
    await guest.vmm.socket.closed;
    expect(fs.existsSync(daemon.socketPath)).toBe(false);
  });

  it('ends at SIGTERM before anybody has connected', async () => {
    const daemon = await daemonOnTree({ more: ['--log-level=info'] });
    await said(daemon, /Serving /);
    expect(await daemon.stop()).toBe(0);
  });

  it('ends when the VMM goes without a word, in the middle of work', async () => {
    const { daemon, fs: guest } = await served();
    const asked = guest.all(Array.from({ length: 100 }, () => r.lookup(1n, 'f1')));
    guest.vmm.close();
    await expect(asked).rejects.toThrow();
    expect(await daemon.ended()).toBe(0);
  });

  it('serves an ordinary user on an ordinary directory', async () => {
    const shared = smallTree();
    for (const name of [...fs.readdirSync(shared), '.']) {
      fs.chownSync(`${shared}/${name}`, NOBODY, NOBODY);
    }
    const program = await daemonProgram();
    const daemon = startDaemon('ours', shared, { program, user: NOBODY, handles: 'prefer' });
    const guest = await daemon.connect();
    await guest.init();
    await works(guest);
    const caller = guest.as({ uid: NOBODY, gid: NOBODY });
    const { entry, open } = await caller.create(1n, 'mine', fs.constants.O_RDWR, 0o600);
    expect(await caller.write(entry.nodeid, open.fh, 0, 'written')).toBe(7);
    expect(fs.readFileSync(`${shared}/mine`, 'utf8')).toBe('written');
    expect(fs.statSync(`${shared}/mine`).uid).toBe(NOBODY);
    await guest.close();
    expect(await daemon.ended()).toBe(0);
  });

  it('offers a configuration space with a tag, and else none', async () => {
    const tagged = await daemonOnTree({ more: ['--tag', 'my share'] });
    const vmm = await tagged.vmm({ order: 'crosvm' });
    const config = Buffer.from(vmm.config ?? []);
    expect(config.length).toBe(40);
    expect(config.subarray(0, 36).toString().replace(/\0+$/, '')).toBe('my share');
    expect(config.readUInt32LE(36)).toBeGreaterThanOrEqual(1);
    expect(Buffer.from(await vmm.getConfig(0, 8)).toString()).toBe('my share');
    await works(await ready(await Frontend.start(vmm)));
    vmm.close();

    const plain = await daemonOnTree();
    const other = await plain.vmm({ order: 'crosvm' });
    expect(other.has(ProtocolFeature.CONFIG)).toBe(false);
    other.close();
  });

  it.each(['never', 'prefer'] as const)('leaks no descriptor (%s)', async (handles) => {
    const { daemon, fs: guest } = await served({ order: 'qemu-10' }, { handles });
    await works(guest);
    await guest.destroy();
    await guest.init();
    const before = daemon.descriptors();
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < FILES; i++) {
        const { nodeid } = await guest.lookup(1n, `f${i}`);
        await guest.open(nodeid, fs.constants.O_RDWR);
      }
      await guest.opendir(1n);
      await guest.attempt(r.create(1n, 'f1', fs.constants.O_EXCL | fs.constants.O_RDWR, 0o600));
      await guest.attempt(r.lookup(1n, 'missing'));
      await guest.vmm.stop();
      await guest.vmm.start();
      for (let i = 0; i < 10; i++) await guest.vmm.setCall(1);
      const region = await guest.vmm.plug({
        guestAddress: 0x1_0000_0000,
        size: 1 << 20,
        file: 50 + round,
        offset: 0,
      });
      await guest.vmm.unplug(region);
      expect(daemon.descriptors().length).toBeGreaterThan(before.length + FILES);
      await guest.destroy();
      await guest.init();
    }
    expect(daemon.descriptors().length).toBe(before.length);
  });
});

async function ready(guest: Frontend): Promise<Frontend> {
  await guest.init();
  return guest;
}
