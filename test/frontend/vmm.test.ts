/** Our daemon and the orders of messages of the VMMs that exist. */

import { describe, expect, it } from 'vitest';
import { FuseError, Guest } from './frontend';
import { requests as r } from './fuse';
import { native } from './native';
import { bigByte, daemonOnTree, oneDaemonATest, oneDaemonForAll, served, works } from './served';
import { Message, NEED_REPLY, ProtocolFeature, VirtioFeature, vringState } from './vhostUser';
import type { VmmOrder } from './vmm';
import { VMM_ORDERS } from './vmm';

const lookups = (count: number) =>
  Array.from({ length: count }, (_, i) => r.lookup(1n, `f${i % 40}`));

/** Waits until the daemon has read every message before. */
async function settled(guest: Awaited<ReturnType<typeof served>>['fs']): Promise<void> {
  await guest.vmm.ask(Message.GET_FEATURES);
}

async function errnoOf(work: Promise<unknown>): Promise<number> {
  try {
    await work;
    return 0;
  } catch (error) {
    if (error instanceof FuseError) return error.errno;
    throw error;
  }
}

const EBADF = 9;

/** What a descriptor is, without its number. */
const kindOf = (descriptor: string) => descriptor.replace(/^\d+ /, '').replace(/\d+/g, 'N');

describe.each(VMM_ORDERS)("in %s's order", (order: VmmOrder) => {
  const shared = oneDaemonForAll({ order, requestQueues: 7 });

  it('serves, from INIT to DESTROY', async () => {
    const { fs } = shared();
    await works(fs);
    await fs.destroy();
    await fs.init();
    expect(fs.vmm.socket.complaints).toEqual([]);
  });

  it('goes on after the VM was stopped, and after it was paused', async () => {
    const { fs } = shared();
    const { nodeid } = await fs.lookup(1n, 'f1');
    const { fh } = await fs.open(nodeid, 0);
    for (let i = 0; i < 3; i++) {
      await fs.vmm.stop();
      await fs.vmm.start();
      expect(String(await fs.read(nodeid, fh, 0, 10))).toBe('f1');
      await fs.vmm.pause();
      await fs.vmm.resume();
      expect(String(await fs.read(nodeid, fh, 0, 10))).toBe('f1');
    }
    await works(fs);
    expect(fs.vmm.socket.complaints).toEqual([]);
  });

  it('keeps what the guest asks while the VM is paused', async () => {
    const { fs } = shared();
    await fs.vmm.pause();
    const asked = fs.all(lookups(70));
    await settled(fs);
    await settled(fs);
    for (const queue of fs.vmm.queues.slice(1)) {
      expect(queue.deviceUsedIdx).toBe(queue.usedIdx);
      expect(queue.pending).toBe(10);
    }
    await fs.vmm.resume();
    expect((await asked).every(({ nodeid }) => nodeid > 1n)).toBe(true);
  });

  it('answers what it has taken, and no more, when the VM is stopped under load', async () => {
    const { fs } = shared();
    const queue = fs.vmm.queues[1];
    for (let i = 0; i < 10; i++) {
      const asked = fs.all(lookups(100), { queue: 1 });
      await fs.vmm.stop();
      const used = queue?.deviceUsedIdx;
      expect(queue?.base).toBe(used);
      await settled(fs);
      expect(queue?.deviceUsedIdx).toBe(used);
      await fs.vmm.start();
      expect(await asked).toHaveLength(100);
    }
  });

  it('takes a guest that boots again without DESTROY', async () => {
    const { daemon, fs } = shared();
    await fs.destroy();
    await fs.init();
    await settled(fs);
    const descriptors = daemon.descriptors();
    const ids = new Set<bigint>();
    for (let i = 0; i < 5; i++) {
      const { nodeid } = await fs.lookup(1n, 'f3');
      const { fh } = await fs.open(nodeid, 0);
      // Node ids are never used twice.
      expect(ids.has(nodeid)).toBe(false);
      ids.add(nodeid);
      await fs.vmm.reset();
      await fs.vmm.start();
      await fs.init();
      expect(await errnoOf(fs.getattr(nodeid))).toBe(EBADF);
      expect(await errnoOf(fs.read(nodeid, fh, 0, 10))).toBe(EBADF);
      await works(fs);
    }
    await settled(fs);
    expect(daemon.descriptors().map(kindOf).sort()).toEqual(descriptors.map(kindOf).sort());
  });

  it('serves several request queues', async () => {
    const { fs } = shared();
    for (let queue = 1; queue <= 7; queue++) {
      const { nodeid } = await fs.call(r.lookup(1n, `f${queue}`), { queue });
      await fs.call(r.forget(nodeid, 1), { queue: queue === 7 ? 0 : queue });
    }
    const before = fs.vmm.queues.map(({ availIdx }) => availIdx);
    const entries = await fs.all(lookups(700));
    expect(new Set(entries.map(({ nodeid }) => nodeid)).size).toBe(40);
    const sent = fs.vmm.queues.map(({ availIdx }, i) => availIdx - (before[i] ?? 0));
    expect(sent).toEqual([0, 100, 100, 100, 100, 100, 100, 100]);
  });

  it('ends well when the VMM does', async () => {
    const { daemon, fs } = shared();
    await fs.close();
    expect(await daemon.ended()).toBe(0);
    const said = daemon.log().split('\n');
    // How many files may be open is the machine's affair.
    expect(said.filter((line) => line !== '' && !line.includes('open files'))).toEqual([]);
  });
});

describe('features', () => {
  oneDaemonATest();

  it.each([
    { eventIdx: true, indirect: false },
    { eventIdx: false, indirect: true },
    { eventIdx: false, indirect: false },
  ])('serves with %o', async (features) => {
    const { fs } = await served(features);
    await works(fs);
    expect(await fs.all(lookups(300))).toHaveLength(300);
  });
});

describe('answers to messages', () => {
  oneDaemonATest();

  it('says nothing unless it is asked, and before it was agreed that it may be', async () => {
    const daemon = await daemonOnTree();
    const vmm = await daemon.vmm({ order: 'crosvm' });
    // crosvm does not negotiate REPLY_ACK.
    vmm.socket.send({ request: Message.SET_OWNER, flags: NEED_REPLY });
    vmm.socket.send({ request: Message.SET_OWNER });
    await vmm.ask(Message.GET_FEATURES);
    expect(vmm.socket.complaints).toEqual([]);
    vmm.close();
  });

  it('acknowledges each message that asks for it, once', async () => {
    const { fs } = await served({ order: 'qemu-10' });
    const { socket } = fs.vmm;
    const ask = (request: number, payload: Uint8Array = new Uint8Array(0)) =>
      socket.askU64({ request, payload, flags: NEED_REPLY });
    expect(await ask(Message.SET_OWNER)).toBe(0n);
    expect(await ask(Message.SET_VRING_ENABLE, vringState(1, 1))).toBe(0n);
    expect(await ask(Message.GET_FEATURES)).toBe(fs.vmm.offeredFeatures);
    expect(await ask(Message.GET_PROTOCOL_FEATURES)).toBe(fs.vmm.offeredProtocolFeatures);
    await works(fs);
    expect(socket.complaints).toEqual([]);
  });

  it('refuses what it does not know when it is asked, and else passes over it', async () => {
    const { fs } = await served();
    for (const request of [19, 20, 22, 26, 31, 39, 41, 42, 200, 0xffff_ffff]) {
      const reply = await fs.vmm.socket.askU64({ request, flags: NEED_REPLY });
      expect(reply).not.toBe(0n);
      fs.vmm.socket.send({ request });
    }
    await works(fs);
    expect(fs.vmm.socket.complaints).toEqual([]);
  });

  it('refuses what cannot be done when it is asked, and goes on', async () => {
    const { fs } = await served();
    const refused = async (request: number, payload: Uint8Array) => {
      const message = { request, payload, flags: NEED_REPLY };
      expect(await fs.vmm.socket.askU64(message)).not.toBe(0n);
    };
    await refused(Message.SET_VRING_NUM, vringState(1, 3));
    await refused(Message.SET_VRING_NUM, vringState(1, 65_536));
    await refused(Message.SET_VRING_NUM, vringState(9999, 128));
    await refused(Message.SET_VRING_ENABLE, vringState(9999, 1));
    await refused(Message.SET_VRING_NUM, new Uint8Array(3));
    await refused(Message.REM_MEM_REG, new Uint8Array(40));
    await refused(Message.ADD_MEM_REG, new Uint8Array(40));
    await works(fs);
  });

  it('ends with the reason when what cannot be done was not to be acknowledged', async () => {
    const { daemon, fs } = await served();
    fs.vmm.socket.send({ request: Message.SET_VRING_NUM, payload: vringState(1, 3) });
    await fs.vmm.socket.closed;
    expect(await daemon.ended()).toBe(1);
    expect(daemon.log()).toMatch(/SET_VRING_NUM is refused: a ring of 3 descriptors is none/);
  });

  it('ends when a message is longer than any, or torn', async () => {
    for (const bytes of [
      Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x7f),
      Uint8Array.of(8, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0),
    ]) {
      const { daemon, fs } = await served();
      fs.vmm.socket.sendRaw(bytes);
      if (bytes[11] === 0) fs.vmm.close();
      await fs.vmm.socket.closed;
      expect(await daemon.ended()).not.toBe('SIGKILL');
      await fs.close();
    }
  });

  it('takes a message that comes byte by byte', async () => {
    const { fs } = await served();
    const { socket } = fs.vmm;
    // GET_FEATURES, and SET_VRING_ENABLE of ring 1.
    for (const byte of [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]) socket.sendRaw(Uint8Array.of(byte));
    const enable = [18, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    for (const byte of enable) socket.sendRaw(Uint8Array.of(byte));
    await works(fs);
    await settled(fs);
    // Nobody waited for the answer to the first.
    expect(socket.complaints).toHaveLength(1);
  });
});

describe('rings', () => {
  oneDaemonATest();

  it('loses no kick that comes before the ring is enabled', async () => {
    const daemon = await daemonOnTree();
    const vmm = await daemon.vmm();
    await vmm.setFeatures();
    for (const region of vmm.memory.regions) await vmm.addRegion(region);
    await vmm.each(async (index) => {
      await vmm.setRingSize(index);
      await vmm.setRingBase(index, 0);
      await vmm.setRingAddresses(index);
      await vmm.setKick(index, false);
      await vmm.setCall(index);
    });
    const guest = new Guest(vmm);
    const init = guest.call(r.init());
    await vmm.ask(Message.GET_FEATURES);
    await vmm.ask(Message.GET_FEATURES);
    expect(vmm.queues[1]?.deviceUsedIdx).toBe(0);
    await vmm.enable(1, true);
    expect((await init).major).toBe(7);
    vmm.close();
  });

  it('serves what stood in the ring before it was started, without a kick', async () => {
    const { fs } = await served();
    await fs.vmm.stop();
    for (const queue of fs.vmm.queues) queue.silent = true;
    const asked = fs.all(lookups(30));
    await fs.vmm.start();
    expect(await asked).toHaveLength(30);
  });

  it('signals the call descriptor that it was given last', async () => {
    const { fs } = await served();
    for (let i = 0; i < 50; i++) {
      const asked = fs.all(lookups(20));
      await fs.vmm.setCall(1);
      expect(await asked).toHaveLength(20);
    }
  });

  it('is reset as a device, and keeps the connection and the memory', async () => {
    const { fs } = await served({ order: 'qemu-10' });
    const { nodeid } = await fs.lookup(1n, 'f1');
    await fs.vmm.resetDevice();
    await settled(fs);
    const asked = fs.attempt(r.getattr(nodeid));
    await settled(fs);
    expect(fs.vmm.queues[1]?.pending).toBe(1);
    await fs.vmm.setFeatures();
    await fs.vmm.each((index) => fs.vmm.enable(index, true));
    // Before INIT nothing is served.
    expect((await asked).errno).not.toBe(0);
    await fs.init();
    expect(await errnoOf(fs.getattr(nodeid))).toBe(EBADF);
    await works(fs);
  });

  it('enables all rings when protocol features are not negotiated', async () => {
    const daemon = await daemonOnTree();
    const vmm = await daemon.vmm();
    await vmm.setFeatures(vmm.features & ~VirtioFeature.PROTOCOL_FEATURES);
    await vmm.setMemoryTable();
    await vmm.each(async (index) => {
      await vmm.setRingSize(index);
      await vmm.setRingBase(index, 0);
      await vmm.setRingAddresses(index);
      await vmm.setKick(index, true);
      await vmm.setCall(index);
    });
    expect((await new Guest(vmm).call(r.init())).major).toBe(7);
    vmm.close();
  });
});

describe('guest memory', () => {
  oneDaemonATest();

  it('uses memory that is added, and none that was removed', async () => {
    const { daemon, fs } = await served();
    const plan = { guestAddress: 0x1_0000_0000, size: 8 << 20, file: 9, offset: 4096 };
    for (let i = 0; i < 5; i++) {
      const region = await fs.vmm.plug(plan);
      const at = { requestAt: plan.guestAddress + 64, roomAt: plan.guestAddress + 8192 };
      expect((await fs.call(r.lookup(1n, 'f5'), at)).nodeid).toBeGreaterThan(1n);
      await fs.vmm.unplug(region);
      // The guest still has the bytes; the daemon must not.
      const call = r.lookup(1n, 'f5');
      fs.vmm.memory.add(plan);
      expect((await fs.send(call, at)).written).toBe(0);
      const again = fs.vmm.memory.regions.at(-1);
      if (again !== undefined) fs.vmm.memory.remove(again);
      await works(fs);
    }
    const maps = daemon.descriptors().filter((each) => each.includes('guest-memory'));
    expect(maps.length).toBeLessThanOrEqual(fs.vmm.memory.regions.length);
  });

  it('takes a new table of memory while rings are served', async () => {
    const { fs } = await served({ memory: 'several' });
    for (let i = 0; i < 20; i++) {
      const asked = fs.all(lookups(50));
      await fs.vmm.setMemoryTable();
      expect(await asked).toHaveLength(50);
    }
    await works(fs);
  });

  it('reads and writes across regions that touch', async () => {
    const { fs } = await served({ memory: 'several' });
    const border = 16 << 20;
    const { nodeid } = await fs.lookup(1n, 'big');
    const { fh } = await fs.open(nodeid, 2);
    const data = await fs.call(r.read(nodeid, fh, 4096, 8192), { roomAt: border - 5000 });
    expect(data.every((byte, i) => byte === bigByte(4096 + i))).toBe(true);
    const text = 'z'.repeat(6000);
    const travel = { requestAt: border - 3000 };
    expect(await fs.call(r.write(nodeid, fh, 10, text), travel)).toBe(6000);
    expect(String(await fs.read(nodeid, fh, 10, 6000))).toBe(text);
  });

  it('refuses a region that reaches beyond its file', async () => {
    const { fs } = await served();
    const fd = native.memfd(4096);
    const region = fs.vmm.memory.regions[0];
    if (region === undefined) throw new Error('No region.');
    const beyond = { ...region, guestAddress: 0x2_0000_0000, size: 1 << 20, offset: 0, fd };
    await expect(fs.vmm.addRegion(beyond)).rejects.toThrow(/refused/);
    native.closeFd(fd);
    await works(fs);
  });

  it('offers as many slots as QEMU uses', async () => {
    const { fs } = await served();
    expect(fs.vmm.has(ProtocolFeature.CONFIGURE_MEM_SLOTS)).toBe(true);
    expect(fs.vmm.memorySlots).toBeGreaterThanOrEqual(256);
    for (let i = 0; i < 100; i++) {
      const guestAddress = 0x1_0000_0000 + i * 0x10_0000;
      await fs.vmm.plug({ guestAddress, size: 0x10_0000, file: 10 + i, offset: 0 });
    }
    const at = { roomAt: 0x1_0000_0000 + 50 * 0x10_0000 };
    expect((await fs.call(r.getattr(1n), at)).attr.nlink).toBeGreaterThan(1);
  });
});
