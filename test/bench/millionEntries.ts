/** A model of many entries, folded from the events that a daemon would send. */

import type { ModelListener } from '../../daemon/inspector/liveModel';
import { LiveModel } from '../../daemon/inspector/liveModel';
import type { LookupEvent } from '../../daemon/tables/events';
import type { Nodeid } from '../../daemon/tables/identity';

const FILES_A_DIRECTORY = 500;
const encoder = new TextEncoder();

function mix(i: number): number {
  return Math.imul(i, 2654435761) >>> 0;
}

/** The lookup of entry `i`; file names have 14 bytes. */
export function lookupOf(i: number, seq: number, known: boolean): LookupEvent {
  const nodeid = (i + 1) as Nodeid;
  const directory = i - (i % FILES_A_DIRECTORY);
  const isDirectory = directory === i;
  const name = `${isDirectory ? 'dire' : 'file'}-${String(i).padStart(6, '0')}.ts`;
  return {
    type: 'lookup',
    seq,
    time: Date.now(),
    op: 'LOOKUP',
    unique: seq,
    parent: (isDirectory ? 1 : directory + 1) as Nodeid,
    name: encoder.encode(name),
    ids: { ino: BigInt(i), dev: { major: 7, minor: 0 }, mntId: 74 },
    handle: {
      mntId: 74,
      type: 1,
      bytes: new Uint8Array(new Int32Array([i, mix(i) | 0]).buffer),
    },
    handleErrno: 0,
    byHandle: known ? nodeid : null,
    byIds: known ? nodeid : null,
    hit: known ? 'handle_hit' : 'miss',
    nodeid,
    errno: 0,
    durationNs: 20_000,
    mode: isDirectory ? 0o040755 : 0o100644,
    probe: 'not-probed',
    spare: null,
  };
}

export function modelOf(count: number, listener: ModelListener): LiveModel {
  const model = new LiveModel(
    {
      kind: 'serve',
      pid: process.pid,
      implementation: 'bench',
      sharedDir: '/bench',
      lookupRule: 'handle-then-fd',
      inodeFileHandles: { requested: 'prefer', effective: 'prefer' },
      level: 'instrumented',
      complete: true,
      transport: 'bench',
    },
    listener,
  );
  for (let i = FILES_A_DIRECTORY; i < count + FILES_A_DIRECTORY; i++) {
    const lookup = lookupOf(i, model.nextSeq++, false);
    model.fold(lookup);
    const { ids, handle, mode, nodeid } = lookup;
    if (ids === null || nodeid === null) continue;
    const seq = model.nextSeq++;
    const { time } = lookup;
    model.fold({
      type: 'insert',
      seq,
      time,
      nodeid,
      kind: 'handle',
      lookups: 1,
      mode,
      ids,
      handle,
      fd: null,
    });
  }
  return model;
}
