/** Directories of this host that guests mount through the daemon of this tree. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Connection } from '../../daemon/inspector/connect';
import { connect } from '../../daemon/inspector/connect';
import { listRuntimeFiles } from '../../daemon/inspector/runtimeFiles';
import type { EventJson, Snapshot } from '../../daemon/protocol/json';
import { daemonProgram, ext4 } from '../filesystem/harness';
import type { HostFile } from '../scenarios/share';
import { hostFile, newFolder } from '../scenarios/share';
import { Daemon } from './daemon';
import type { Device, Guest } from './guest';

/** How long an event of the daemon is waited for, in milliseconds. */
const PATIENCE = 30_000;

let counter = 0;

/** A shared directory with its daemon. */
export interface Share extends Device {
  /** The directory on the host. */
  readonly shared: string;
  /** Where guests mount it. */
  readonly mount: string;
  readonly daemon: Daemon;
}

/** Serves a new directory on an ext4 of the tests' own. @param options of `serve` */
export async function serve(...options: readonly string[]): Promise<Share> {
  const host = await ext4();
  const shared = newFolder(host);
  const tag = `share${counter++}`;
  const socket = path.join(path.dirname(host), `${tag}.socket`);
  const daemon = await Daemon.start(
    [
      ...[process.execPath, await daemonProgram(), 'serve'],
      ...['--shared-dir', shared, '--socket-path', socket, ...options],
    ],
    socket,
  );
  return { shared, socket, tag, daemon, mount: `/mnt/${tag}` };
}

/** Serves a directory and mounts it. */
export async function mountShare(guest: Guest, ...options: readonly string[]): Promise<Share> {
  const share = await serve(...options);
  await guest.plug(share);
  await guest.mount(share.tag);
  return share;
}

/** What identifies a file, without the mount id: a sandbox has mounts of its own. */
export interface Identity {
  readonly ino: string;
  readonly dev: string;
  /** f_handle in hex. */
  readonly handle: string | null;
}

/** Rows of a table, or files, by their numbers. */
export function sorted(rows: readonly HostFile[]): Identity[] {
  return rows
    .map(({ ids, handle }) => ({ ino: ids.ino, dev: ids.dev, handle: handle?.bytes ?? null }))
    .sort((a, b) => Number(a.ino) - Number(b.ino));
}

/** Every file of a directory of the host whose name is UTF-8, those of several names once. */
export function hostFiles(folder: string): Identity[] {
  const names = ['', ...fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })];
  const files = names
    .filter((name) => !name.includes('\ufffd'))
    .map((name) => hostFile(path.join(folder, name)));
  return sorted([...new Map(files.map((file) => [file.ids.ino, file])).values()]);
}

/** What a snapshot's tables are when the guest has nothing. */
export const EMPTY = { entries: [], inodes_by_ids: [], inodes_by_handle: [] };

/** The tables of a daemon and its events, over the inspector's protocol. */
export class Watch {
  /** Every event so far, in order. */
  readonly events: EventJson[] = [];
  #arrived: () => void = () => undefined;
  #markers = 0;

  private constructor(
    private readonly connection: Connection,
    private readonly mount: string,
  ) {}

  static async on({ daemon, mount }: Share): Promise<Watch> {
    const file = listRuntimeFiles(() => undefined).find(({ pid }) => pid === daemon.pid);
    if (file === undefined) throw new Error(`No runtime file: ${daemon.log.join('\n')}`);
    const watch = new Watch(await connect(file, 'guest tests'), mount);
    watch.connection.client.on('events', ({ events }) => {
      watch.events.push(...events);
      watch.#arrived();
    });
    await watch.connection.client.call('events.follow', { from: '1' });
    return watch;
  }

  /** The first event, past or to come, that passes. @throws Error when none comes */
  async waitFor(predicate: (event: EventJson) => boolean): Promise<EventJson> {
    let found: EventJson | undefined;
    await this.until(() => (found = this.events.find(predicate)) !== undefined);
    if (found === undefined) throw new Error('The event is gone.');
    return found;
  }

  /**
   * Waits until the events so far fulfil a condition.
   *
   * @throws Error with the newest events when they do not
   */
  async until(fulfilled: () => boolean): Promise<void> {
    const deadline = Date.now() + PATIENCE;
    while (!fulfilled()) {
      if (await this.#more(deadline - Date.now())) continue;
      const newest = this.events.slice(-20).map((event) => JSON.stringify(event));
      throw new Error(`No such event came. The newest are:\n${newest.join('\n')}`);
    }
  }

  /** The tables once everything that the guest has done is in them, but for late FORGETs. */
  async settled(guest: Guest): Promise<Snapshot> {
    const name = `.settled-${this.#markers++}`;
    await guest.must(`refused stat ${this.mount}/${name} 2>/dev/null`);
    await this.waitFor((event) => event.type === 'lookup' && event['name'] === name);
    return this.connection.client.call('snapshot', {});
  }

  snapshot(): Promise<Snapshot> {
    return this.connection.client.call('snapshot', {});
  }

  close(): void {
    this.connection.close();
  }

  /** Waits for events that were not there. @returns false when none came in `milliseconds` */
  #more(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, milliseconds));
      this.#arrived = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}
