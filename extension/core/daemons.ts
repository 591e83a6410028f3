/** All daemons that the extension knows: those of this host, and those connected to by URL. */

import path from 'node:path';
import type { RuntimeFile } from '../../daemon/protocol/runtimeFile';
import type { Address } from './address';
import { addressOf } from './address';
import type { LinkState } from './link';
import { DaemonLink } from './link';
import type { Log } from './log';
import type { RuntimeFiles } from './runtimeFiles';
import { Signal } from './signal';

declare const brand: unique symbol;

/** Names one daemon for as long as it lives; never the same for another one. */
export type DaemonKey = string & { readonly [brand]: 'DaemonKey' };

export interface Daemon {
  readonly key: DaemonKey;
  readonly origin:
    { readonly kind: 'local'; readonly file: RuntimeFile } | { readonly kind: 'url' };
  readonly address: Address;
  /** What it is called in lists and titles: its shared directory's name, once known. */
  readonly name: string;
  /** Absent after the user has disconnected. */
  readonly link: DaemonLink | undefined;
}

export function localKey(file: Pick<RuntimeFile, 'pid' | 'startTime'>): DaemonKey {
  return `local:${file.pid}:${file.startTime}` as DaemonKey;
}

export function urlKey(address: Address): DaemonKey {
  return `url:${address.url}` as DaemonKey;
}

/** Milliseconds before a broken connection to a daemon that still runs is tried again. */
const RETRY_MS = 2_000;

interface Slot {
  readonly key: DaemonKey;
  readonly origin: Daemon['origin'];
  readonly address: Address;
  name: string;
  link: DaemonLink | undefined;
  retry: NodeJS.Timeout | undefined;
}

export class Daemons {
  /** Fires when daemons come, go, connect, disconnect, or another one becomes current. */
  readonly changed = new Signal<void>();
  /** Fires when the counters or hazards of a daemon change. */
  readonly updated = new Signal<Daemon>();

  readonly #slots = new Map<DaemonKey, Slot>();
  #current: DaemonKey | undefined;

  constructor(
    private readonly files: RuntimeFiles,
    private readonly client: string,
    private readonly log: Log,
  ) {
    files.changed.on(() => this.#followFiles());
    this.#followFiles();
  }

  /** The newest first. */
  get list(): readonly Daemon[] {
    return [...this.#slots.values()].reverse();
  }

  get(key: DaemonKey): Daemon | undefined {
    return this.#slots.get(key);
  }

  /** The one that status bar and hazards show: the last one chosen, or simply the newest. */
  get current(): Daemon | undefined {
    const chosen = this.#current === undefined ? undefined : this.#slots.get(this.#current);
    return chosen ?? this.list.find((daemon) => daemon.link !== undefined) ?? this.list[0];
  }

  choose(key: DaemonKey): void {
    if (this.#current === key) return;
    this.#current = key;
    this.changed.fire();
  }

  /**
   * Connects to a daemon that left no runtime file here.
   *
   * @throws Error with the reason when there is no answer; then it is not listed either
   */
  async connectUrl(address: Address): Promise<Daemon> {
    const key = urlKey(address);
    this.#remove(key, 'Connecting anew.');
    const slot = this.#add(key, { kind: 'url' }, address, new URL(address.url).host || address.url);
    const state = await slot.link?.settled();
    if (state?.state === 'open') return slot;
    this.#remove(key, 'There was no answer.');
    this.changed.fire();
    throw new Error(state?.reason ?? 'The connection was given up.');
  }

  /** Connects again to a daemon that was disconnected. */
  connect(key: DaemonKey): void {
    const slot = this.#slots.get(key);
    if (slot === undefined || slot.link?.state.state === 'open') return;
    this.#open(slot);
    this.changed.fire();
  }

  /** Closes the connection. A local daemon stays listed, one connected by URL goes. */
  disconnect(key: DaemonKey): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    if (slot.origin.kind === 'url') this.#remove(key, 'You disconnected it.');
    else {
      clearTimeout(slot.retry);
      const link = slot.link;
      slot.link = undefined;
      link?.close('You disconnected it.');
    }
    this.changed.fire();
  }

  /**
   * Resolves with the daemon of this process once its runtime file is there.
   *
   * @throws the signal's reason when it aborts first
   */
  appearance(pid: number, signal: AbortSignal): Promise<Daemon> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const daemon = this.list.find(
          ({ origin }) => origin.kind === 'local' && origin.file.pid === pid,
        );
        if (daemon === undefined) return;
        stop();
        resolve(daemon);
      };
      const stop = this.changed.on(look);
      const giveUp = (): void => {
        stop();
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (signal.aborted) giveUp();
      else look();
    });
  }

  dispose(): void {
    for (const key of [...this.#slots.keys()]) this.#remove(key, 'The window is closing.');
  }

  #followFiles(): void {
    const files = new Map(this.files.files.map((file) => [localKey(file), file]));
    for (const [key, slot] of [...this.#slots]) {
      if (slot.origin.kind === 'local' && !files.has(key)) this.#remove(key, 'The daemon ended.');
    }
    const oldestFirst = [...files].sort(
      ([, a], [, b]) => Number(a.startTime) - Number(b.startTime),
    );
    for (const [key, file] of oldestFirst) {
      if (this.#slots.has(key)) continue;
      const name = path.basename(file.sharedDir) || file.sharedDir;
      this.#add(key, { kind: 'local', file }, addressOf(file), name);
      this.log.debug(
        `Found ${file.implementation}, process ${file.pid}, sharing ${file.sharedDir}`,
      );
    }
    this.changed.fire();
  }

  #add(key: DaemonKey, origin: Daemon['origin'], address: Address, name: string): Slot {
    const slot: Slot = { key, origin, address, name, link: undefined, retry: undefined };
    this.#slots.set(key, slot);
    this.#open(slot);
    return slot;
  }

  #open(slot: Slot): void {
    clearTimeout(slot.retry);
    const link = new DaemonLink(slot.address, this.client, this.log);
    slot.link = link;
    let before: LinkState['state'] = 'connecting';
    link.changed.on((state) => {
      if (slot.link !== link) return;
      if (state.state === 'open') {
        slot.name = path.basename(state.target.sharedDir) || state.target.sharedDir;
      }
      const turned = state.state !== before;
      before = state.state;
      if (turned && state.state === 'closed') this.#retry(slot, state.reason);
      if (turned) this.changed.fire();
      this.updated.fire(slot);
    });
  }

  /** A local daemon whose process lives is worth another try; its end is seen by its file. */
  #retry(slot: Slot, reason: string): void {
    // Gone from the list: it was closed on purpose, perhaps with the whole window and its log.
    if (this.#slots.get(slot.key) !== slot) return;
    this.log.debug(`Connection to ${slot.name}: ${reason}`);
    if (slot.origin.kind === 'url') return;
    slot.retry = setTimeout(() => this.#open(slot), RETRY_MS);
    slot.retry.unref();
  }

  #remove(key: DaemonKey, reason: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    clearTimeout(slot.retry);
    slot.link?.close(reason);
  }
}
