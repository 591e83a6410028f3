/**
 * The guest's first process, and how the host speaks with it over a virtio-serial port.
 *
 * Host to guest: `ID LENGTH\n` and a script of so many bytes. Guest to host: `\x01ready RELEASE CPUS\n`
 * once after each boot, and `ID STATUS LENGTH\n` with what the script printed. Scripts run at the same
 * time; each answer is written in one piece.
 */

import { MODULES } from './kernels';

/** The name of the port. */
export const PORT = 'test.agent';

export const AGENT = `#!/bin/busybox sh
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp LC_ALL=C GIT_TEMPLATE_DIR=
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mkdir -p /dev/shm
for folder in /tmp /run /mnt /dev/shm; do busybox mount -t tmpfs tmpfs $folder; done
busybox ln -s /proc/self/fd /dev/fd
release=$(busybox uname -r)
for module in ${MODULES.join(' ')}; do
  file=/modules/$release/$module.ko
  if [ -f $file ]; then busybox insmod $file; fi
done
for port in /sys/class/virtio-ports/*; do
  if [ "$(busybox cat $port/name)" = ${PORT} ]; then exec 3<>/dev/\${port##*/}; fi
done
busybox printf '\\001ready %s %s\\n' $release $(busybox nproc) >&3
while read -r id length <&3; do
  busybox dd bs=$length count=1 iflag=fullblock of=/run/$id <&3 2>/dev/null
  (
    bash -e -u -o pipefail /run/$id </dev/null >/run/$id.out 2>&1 3>&- 9>&-
    status=$?
    flock 9
    { echo $id $status $(busybox stat -c %s /run/$id.out); busybox cat /run/$id.out; } >&3
    busybox rm /run/$id /run/$id.out
  ) 9>/run/lock &
done
`;

/** What a script did in the guest. */
export interface Done {
  readonly status: number;
  /** Standard output and standard error. */
  readonly output: string;
}

export interface Ready {
  readonly release: string;
  readonly cpus: number;
}

export type AgentMessage =
  | { readonly kind: 'ready'; readonly ready: Ready }
  | { readonly kind: 'done'; readonly id: number; readonly done: Done };

/** Takes the guest's bytes apart. */
export class AgentReader {
  #pending = Buffer.alloc(0);
  #booting = true;

  /** After a reset: what comes before the guest is ready again is the rest of something cut off. */
  expectBoot(): void {
    this.#booting = true;
  }

  /** @throws Error when the guest says something else than its protocol */
  receive(bytes: Buffer): readonly AgentMessage[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const messages: AgentMessage[] = [];
    for (let message = this.#next(); message !== null; message = this.#next()) {
      messages.push(message);
    }
    return messages;
  }

  #next(): AgentMessage | null {
    if (this.#booting) {
      const mark = this.#pending.indexOf('\x01ready ');
      if (mark === -1) return null;
      this.#pending = this.#pending.subarray(mark);
    }
    const end = this.#pending.indexOf('\n');
    if (end === -1) return null;
    const line = this.#pending.toString('utf8', 0, end);
    const ready = /^\x01ready (\S+) ([0-9]+)$/.exec(line);
    if (ready !== null) {
      this.#booting = false;
      this.#pending = this.#pending.subarray(end + 1);
      return { kind: 'ready', ready: { release: ready[1] ?? '', cpus: Number(ready[2]) } };
    }
    const head = /^([0-9]+) ([0-9]+) ([0-9]+)$/.exec(line);
    if (head === null) throw new Error(`The guest's agent says “${line}”.`);
    const [id = 0, status = 0, length = 0] = head.slice(1).map(Number);
    const output = this.#pending.subarray(end + 1, end + 1 + length);
    if (output.length < length) return null;
    this.#pending = this.#pending.subarray(end + 1 + length);
    return { kind: 'done', id, done: { status, output: output.toString('utf8') } };
  }
}

/** The bytes that ask for a script to be run. */
export function request(id: number, script: string): Buffer {
  const body = Buffer.from(script);
  return Buffer.concat([Buffer.from(`${id} ${body.length}\n`), body]);
}
