/** Entries of the live model as JSON. */

import { generationOf } from '../hazards/generation';
import type { EntryJson } from '../protocol/json';
import type { EntryRow } from '../protocol/map';
import { handleToJson, idsToJson } from '../protocol/text';
import type { Entry } from '../tables/inodeTables';
import type { LiveModel } from './liveModel';

export function entryToJson(entry: Entry, model: LiveModel): EntryJson {
  const generation = entry.handle === null ? null : generationOf(entry.handle);
  return {
    nodeid: String(entry.nodeid),
    kind: entry.kind,
    lookups: String(entry.lookups),
    mode: entry.mode,
    path: model.path(entry.nodeid),
    ids: idsToJson(entry.ids),
    handle: entry.handle === null ? null : handleToJson(entry.handle),
    generation: generation === null ? null : String(generation),
    fd: entry.fd,
  };
}

export function entryRow(entry: Entry, model: LiveModel, fresh: boolean): EntryRow {
  return {
    row: 'entry',
    entry: entryToJson(entry, model),
    idsKey: model.idsKey(entry.nodeid),
    handleKey: model.handleKey(entry),
    attention: model.attention.has(entry.nodeid),
    hazards: model.hazards
      .of(entry.nodeid)
      .map(({ id, name, severity }) => ({ id, name, severity })),
    probeErrno: model.probeErrno(entry.nodeid),
    fresh,
  };
}
