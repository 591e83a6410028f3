/** What a guest can know from its own requests and their replies. */

import { ROOT_NODEID } from '../../../daemon/tables/identity';

const RECENT = 40;

export type Handle = readonly [fh: number, nodeid: number];

export class Guest {
  initialized = false;
  /** Lookup counts by node id. */
  readonly lookups = new Map<number, number>();
  /** File types by node id, S_IFMT. */
  readonly types = new Map<number, number>();
  /** Node ids by fh. */
  readonly open = new Map<number, number>();
  /** Some that were handed out lately, and may be gone by now. */
  readonly nodes: number[] = [];
  readonly handles: Handle[] = [];

  begin(): void {
    this.end();
    this.initialized = true;
    this.lookups.set(ROOT_NODEID, 2);
  }

  end(): void {
    this.initialized = false;
    this.lookups.clear();
    this.types.clear();
    this.open.clear();
  }

  entry(nodeid: number): void {
    this.lookups.set(nodeid, (this.lookups.get(nodeid) ?? 0) + 1);
    if (!this.nodes.includes(nodeid)) this.nodes.push(nodeid);
    if (this.nodes.length > RECENT) this.nodes.shift();
  }

  forget(nodeid: number, count: number): void {
    const left = this.lookups.get(nodeid);
    if (left === undefined) return;
    if (count < left) {
      this.lookups.set(nodeid, left - count);
    } else {
      this.lookups.delete(nodeid);
      this.types.delete(nodeid);
    }
  }

  opened(fh: number, nodeid: number): void {
    this.open.set(fh, nodeid);
    this.handles.push([fh, nodeid]);
    if (this.handles.length > RECENT) this.handles.shift();
  }
}
