/** A virtual machine under QEMU that runs scripts and mounts virtio-fs devices. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Done, Ready } from './agent';
import { AgentReader, PORT, request } from './agent';
import type { Kernel } from './kernels';
import { kernels } from './kernels';
import { Qmp } from './qmp';
import { rootImage } from './rootImage';

const MEMORY = '768M';
/** How long a script may take unless the caller says so, in seconds. */
const PATIENCE = 120;

// Bash's -e looks over a failing "! command", so refusals have their own word.
const PRELUDE = `refused() { if "$@"; then echo "not refused: $*"; exit 1; fi; }\n`;

/** What a machine boots. */
export interface GuestParts {
  /** The newest kernel first. */
  readonly kernels: readonly Kernel[];
  readonly image: string;
}

/**
 * Finds or makes what guests boot.
 *
 * @param root the repository
 * @throws Error when there is no kernel to be had, or a program is missing
 */
export function guestParts(root: string): GuestParts {
  const cache = path.join(root, '.cache/guest');
  const found = kernels(cache);
  return { kernels: found, image: rootImage(cache, found) };
}

/** A virtio-fs device to be. */
export interface Device {
  /** The daemon's socket. */
  readonly socket: string;
  readonly tag: string;
  /** Without hiprio; 1 unless given. */
  readonly queues?: number;
}

export interface GuestOptions {
  readonly parts: GuestParts;
  readonly kernel?: Kernel;
  /** Devices that are there from the start. */
  readonly devices?: readonly Device[];
  /** 1 unless given. */
  readonly processors?: number;
}

/**
 * KVM on real hardware; else QEMU translates the guest's code. /dev/kvm alone says too little: where
 * virtual machines are nested without the processor's help it is there and starts no ordinary kernel.
 */
function accelerator(): readonly string[] {
  const processor = fs.readFileSync('/proc/cpuinfo', 'utf8');
  try {
    fs.accessSync('/dev/kvm', fs.constants.R_OK | fs.constants.W_OK);
    if (/^flags\s*:.* (vmx|svm) /m.test(processor)) return ['-accel', 'kvm', '-cpu', 'host'];
  } catch {
    // Not there, or not for this user.
  }
  // Processors take turns: with a thread for each, one in fifty boots ended with “Oops: int3”, where
  // one processor still ran the breakpoint of code that the other one had finished patching.
  return ['-accel', 'tcg,thread=single', '-cpu', 'qemu64'];
}

interface Pending {
  readonly resolve: (done: Done) => void;
  readonly reject: (error: Error) => void;
}

export class Guest {
  /** What the kernel said. */
  console = '';
  readonly #pending = new Map<number, Pending>();
  readonly #reader = new AgentReader();
  readonly #exited: Promise<unknown>;
  /** Rejects when the machine is broken: a panic, or an end that nobody asked for. */
  readonly #broken: Promise<never>;
  #break: (error: Error) => void = () => undefined;
  #onReady: (ready: Ready) => void = () => undefined;
  #ids = 0;
  #ending = false;

  private constructor(
    private readonly qemu: ChildProcess,
    exited: Promise<unknown>,
    private readonly qmp: Qmp,
    private readonly port: Socket,
  ) {
    this.#exited = exited;
    this.#broken = new Promise((_resolve, reject) => (this.#break = reject));
    this.#broken.catch(() => undefined);
    for (const stream of [qemu.stdout, qemu.stderr]) {
      stream?.on('data', (bytes: Buffer) => this.#hear(bytes.toString('latin1')));
    }
    port.on('data', (bytes) => this.#receive(bytes));
    // QEMU is gone: its exit says so, too.
    port.on('error', () => undefined);
    void this.#exited.then(() => this.#fail('QEMU ended'));
  }

  /**
   * Starts a machine and waits until it takes scripts.
   *
   * @throws Error with the console when it does not come up
   */
  static async boot(options: GuestOptions): Promise<Guest> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'guest-'));
    const monitor = await listen(path.join(folder, 'monitor'));
    const agent = await listen(path.join(folder, 'agent'));
    const qemu = spawn('setpriv', qemuCommand(options, folder), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    qemu.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const exited = once(qemu, 'exit');
    const ended = exited.then(() => {
      throw new Error(`QEMU ended before it started: ${said}`);
    });
    const connect = async () => {
      const [monitorSocket, port] = await Promise.all([accept(monitor), accept(agent)]);
      return new Guest(qemu, exited, await Qmp.greet(monitorSocket), port);
    };
    const guest = await Promise.race([connect(), ended]).finally(() => {
      // Each socket is for one connection.
      for (const server of [monitor, agent]) server.close();
      fs.rmSync(folder, { recursive: true });
    });
    const ready = guest.#ready();
    await guest.#tell('cont');
    await ready;
    return guest;
  }

  /** QEMU's process. */
  get pid(): number {
    if (this.qemu.pid === undefined) throw new Error('QEMU has no process.');
    return this.qemu.pid;
  }

  /**
   * Runs a script under bash, to its first failing command; "refused COMMAND" wants the command to
   * fail. Scripts run at the same time.
   *
   * @throws Error when the machine breaks, is reset, or the script takes longer than `seconds`
   */
  async run(script: string, seconds = PATIENCE): Promise<Done> {
    const id = this.#ids++;
    const done = new Promise<Done>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.port.write(request(id, PRELUDE + script));
    try {
      return await this.#within(seconds, `the script\n${script}`, done);
    } finally {
      this.#pending.delete(id);
    }
  }

  /** Runs a script that must succeed; returns what it printed. */
  async must(script: string, seconds = PATIENCE): Promise<string> {
    const { status, output } = await this.run(script, seconds);
    if (status !== 0) throw new Error(`Exit status ${status} of the script\n${script}\n${output}`);
    return output.trim();
  }

  /** Plugs a device in and waits until the guest's driver has it. */
  async plug({ socket, tag, queues = 1 }: Device): Promise<void> {
    await this.#tell('chardev-add', {
      id: `socket-${tag}`,
      backend: {
        type: 'socket',
        data: { addr: { type: 'unix', data: { path: socket } }, server: false },
      },
    });
    await this.#tell('device_add', {
      ...{ driver: 'vhost-user-fs-pci', id: tag, chardev: `socket-${tag}`, tag },
      'num-request-queues': queues,
    });
    // QEMU's notice is on its way; a scan ends when all that it found has its driver.
    await this.must('echo 1 > /sys/bus/pci/rescan');
  }

  /** Pulls a device out; its daemon sees the connection end. */
  async unplug(tag: string): Promise<void> {
    const gone = this.qmp.event('DEVICE_DELETED', ({ device }) => device === tag);
    await this.#tell('device_del', { id: tag });
    await this.#within(PATIENCE, `unplugging ${tag}`, gone);
    await this.#tell('chardev-remove', { id: `socket-${tag}` });
  }

  /** Mounts a device's file system on /mnt/TAG. */
  async mount(tag: string): Promise<void> {
    await this.must(`mkdir -p /mnt/${tag}; mount -t virtiofs ${tag} /mnt/${tag}`);
  }

  /** Resets the machine as its button does, and waits until it takes scripts again. */
  async reset(): Promise<void> {
    this.#reader.expectBoot();
    for (const { reject } of this.#pending.values()) reject(new Error('The machine was reset.'));
    const ready = this.#ready();
    await this.#tell('system_reset');
    await ready;
  }

  /** Stops the processors, as before a migration or a snapshot. */
  async stop(): Promise<void> {
    const stopped = this.qmp.event('STOP');
    await this.#tell('stop');
    await this.#within(PATIENCE, 'stopping the machine', stopped);
  }

  /** Lets the processors go on. */
  async cont(): Promise<void> {
    const resumed = this.qmp.event('RESUME');
    await this.#tell('cont');
    await this.#within(PATIENCE, 'letting the machine go on', resumed);
  }

  /** Has the guest switch itself off, and waits for the end of QEMU. */
  async powerOff(): Promise<void> {
    this.#ending = true;
    const script = 'busybox poweroff -f';
    this.port.write(request(this.#ids++, script));
    await this.#within(PATIENCE, 'switching the machine off', this.#exited);
  }

  /** Ends QEMU, if it still runs. */
  async kill(): Promise<void> {
    this.#ending = true;
    if (this.qemu.exitCode === null && this.qemu.signalCode === null) this.qemu.kill('SIGKILL');
    await this.#exited;
  }

  /** What the kernel complained about that is not the host's slowness. */
  complaints(): readonly string[] {
    const serious =
      /Oops|BUG: (kernel|unable)|WARNING: .* at fs\/|blocked for more|protection fault/;
    return this.console.split('\n').filter((line) => serious.test(line));
  }

  #tell(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return this.#within(PATIENCE, command, this.qmp.execute(command, args));
  }

  #ready(): Promise<Ready> {
    const ready = new Promise<Ready>((resolve) => (this.#onReady = resolve));
    return this.#within(PATIENCE, 'booting', ready);
  }

  async #within<T>(seconds: number, what: string, wanted: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`${seconds} s were not enough for ${what}. ${this.#lastWords()}`));
      }, seconds * 1000);
    });
    try {
      return await Promise.race([wanted, this.#broken, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #hear(text: string): void {
    this.console += text;
    if (/Kernel panic/.test(this.console)) this.#fail('The guest panicked');
  }

  #receive(bytes: Buffer): void {
    try {
      for (const message of this.#reader.receive(bytes)) {
        if (message.kind === 'ready') this.#onReady(message.ready);
        else this.#pending.get(message.id)?.resolve(message.done);
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  #fail(reason: string): void {
    if (!this.#ending) this.#break(new Error(`${reason}. ${this.#lastWords()}`));
  }

  #lastWords(): string {
    return `The console's end:\n${this.console.slice(-4000)}`;
  }
}

function qemuCommand(
  { parts, kernel = parts.kernels[0], devices = [], processors = 1 }: GuestOptions,
  folder: string,
): string[] {
  if (kernel === undefined) throw new Error('There is no kernel to boot.');
  return [
    // Nothing of this outlives the test.
    ...['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...accelerator()],
    ...['-smp', String(processors), '-m', MEMORY, '-M', 'pc,memory-backend=memory'],
    // Daemons work on the guest's memory, so it must be a file that can be shared.
    ...['-object', `memory-backend-memfd,id=memory,size=${MEMORY},share=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S', '-serial', 'stdio'],
    ...['-chardev', `socket,id=monitor,path=${path.join(folder, 'monitor')}`],
    ...['-mon', 'chardev=monitor,mode=control'],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=agent,path=${path.join(folder, 'agent')}`],
    ...['-device', `virtserialport,chardev=agent,name=${PORT}`],
    ...['-drive', `file=${parts.image},id=root,if=none,format=raw,readonly=on`],
    ...['-device', 'nvme,drive=root,serial=root'],
    ...devices.flatMap(({ socket, tag, queues = 1 }) => [
      ...['-chardev', `socket,id=socket-${tag},path=${socket}`, '-device'],
      `vhost-user-fs-pci,id=${tag},chardev=socket-${tag},tag=${tag},num-request-queues=${queues}`,
    ]),
    ...['-kernel', kernel.image, '-append'],
    // QEMU's timer can be late on a busy host, which the kernel would take for a broken board.
    'console=ttyS0 quiet no_timer_check root=/dev/nvme0n1 rootfstype=ext4 ro rootwait init=/init',
  ];
}

async function listen(file: string): Promise<Server> {
  const server = createServer();
  server.listen(file);
  await once(server, 'listening');
  return server;
}

/** The one connection that a server is there for. */
async function accept(server: Server): Promise<Socket> {
  return ((await once(server, 'connection')) as [Socket])[0];
}
