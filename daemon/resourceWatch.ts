/**
 * Looks at the host from time to time for what no event tells: which mounts are still there, how
 * many descriptors are in use, which files that entries hold have lost their last name. Once a
 * second, each time bounded.
 */

import { fstatSync } from 'node:fs';
import { parseMountInfo } from './check/mountInfo';
import type { LiveModel } from './inspector/liveModel';
import type { HostView } from './passthrough/hostView';
import { readMountInfo } from './passthrough/hostView';
import type { Log } from './passthrough/options';
import { nameText } from './protocol/text';
import type { Nodeid } from './tables/identity';
import { CONTROL } from './workerMessages';

const INTERVAL_MS = 1_000;
/** Reading mountinfo takes at most one part in so many of the time. */
const MOUNTINFO_SHARE = 200;
/** For looking at descriptors, a turn; a look takes some microseconds. */
const LOOKING_MS = 5;
/** Rows passed over in a turn: the entries there may all have handles. */
const ROWS_A_TURN = 200_000;
/** A clock is asked once in so many rows. */
const ROWS_A_CLOCK = 64;
/** Entries that are looked at before their turn; beyond this, they wait for it. */
const MAX_SUSPECTS = 10_000;
const EBADF = 9;

export class ResourceWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #suspects = new Set<Nodeid>();
  #row = 0;
  #mountInfoDue = 0;
  #mountsInPlay = 0;
  #complained = false;

  constructor(
    private readonly model: LiveModel,
    private readonly view: HostView,
    private readonly control: Int32Array,
    private readonly log: Log,
    private readonly changed: () => void,
  ) {
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** An entry's file may have lost its last name: it is looked at in the next turn. */
  suspect(nodeid: Nodeid): void {
    if (this.#suspects.size < MAX_SUSPECTS) this.#suspects.add(nodeid);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { model, control } = this;
    const now = performance.now();
    this.#lookAtFiles(now + LOOKING_MS);
    const inPlay = model.budget.mounts.size;
    const due = now >= this.#mountInfoDue || inPlay !== this.#mountsInPlay;
    this.#mountsInPlay = inPlay;
    model.observe({
      time: Date.now(),
      descriptors: control[CONTROL.fdsUsed] ?? 0,
      refused: (control[CONTROL.fdsRefused] ?? 0) >>> 0,
      mounts: due ? this.#mounts(now) : null,
    });
    this.changed();
  }

  /** Where each mount is; null when that cannot be read. */
  #mounts(started: number): ReadonlyMap<number, string> | null {
    try {
      const mounts = parseMountInfo(readMountInfo(this.view));
      return new Map(
        mounts.map(({ mntId, point }) => [mntId, nameText(Buffer.from(point, 'latin1'))]),
      );
    } catch (error) {
      if (!this.#complained) {
        this.#complained = true;
        const why = error instanceof Error ? error.message : String(error);
        this.log('warn', `Mounts cannot be watched, because mountinfo cannot be read: ${why}`);
      }
      return null;
    } finally {
      const now = performance.now();
      this.#mountInfoDue = now + (now - started) * MOUNTINFO_SHARE;
    }
  }

  #lookAtFiles(until: number): void {
    const { tables, budget } = this.model;
    for (const nodeid of this.#suspects) {
      if (performance.now() >= until) return;
      this.#suspects.delete(nodeid);
      this.#lookAt(nodeid);
    }
    if (tables.entriesOfKind('file') === 0) {
      this.#row = 0;
      budget.sweptAt = Date.now();
      return;
    }
    const end = Math.min(tables.rowLimit, this.#row + ROWS_A_TURN);
    for (let count = 1; this.#row < end; count++, this.#row++) {
      const nodeid = tables.nodeidAt(this.#row);
      if (nodeid !== 0 && tables.kindAt(this.#row) === 'file') this.#lookAt(nodeid);
      if (count % ROWS_A_CLOCK === 0 && performance.now() >= until) return;
    }
    if (this.#row < tables.rowLimit) return;
    this.#row = 0;
    budget.sweptAt = Date.now();
  }

  /**
   * Descriptors are the process's, so that this thread can ask them. The worker may have closed this
   * one meanwhile and its number may be another file's by now: then its numbers differ.
   */
  #lookAt(nodeid: Nodeid): void {
    const entry = this.model.tables.entry(nodeid);
    if (entry?.fd == null) return;
    let stat;
    try {
      stat = fstatSync(entry.fd, { bigint: true });
    } catch (error) {
      if (error instanceof Error && 'errno' in error && error.errno === -EBADF) return;
      throw error;
    }
    const { ino, dev } = entry.ids;
    if (stat.ino !== ino || stat.dev !== makedev(dev.major, dev.minor)) return;
    this.model.looked(nodeid, Number(stat.nlink), Number(stat.blocks) * 512, Date.now());
  }
}

/** The kernel's new_encode_dev, as stat(2) and gnu_dev_makedev have it. */
function makedev(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (
    ((high & 0xfffn) << 8n) | (low & 0xffn) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n)
  );
}
