/** What a person types into the map's search field, as a test on entries. */

import { hex, nameText } from '../protocol/text';
import type { Nodeid } from '../tables/identity';
import type { LiveModel } from './liveModel';

/** Whether the entry in a row of the tables is looked for. */
export type EntryTest = (row: number, nodeid: Nodeid) => boolean;

const FIELD = /^(ino|inode|node|nodeid|handle|mount|kind)[\s:=]+(.+)$/i;

/** `ino 12`, `node 3`, `handle 0c00…`, `mount 74`, a bare number, hex of a handle, a part of a path. */
export function entryTest(query: string, model: LiveModel): EntryTest {
  const field = FIELD.exec(query.trim());
  if (field !== null) return fieldTest((field[1] ?? '').toLowerCase(), field[2] ?? '', model);
  const text = query.trim();
  const named = nameTest(text, model);
  if (/^[0-9]{1,20}$/.test(text)) {
    const number = BigInt(text);
    return (row, nodeid) =>
      BigInt(nodeid) === number ||
      model.tables.entryAt(row).ids.ino === number ||
      named(row, nodeid);
  }
  if (/^([0-9a-f]{2}){4,}$/i.test(text)) {
    const handle = handleTest(text.toLowerCase(), model);
    return (row, nodeid) => handle(row, nodeid) || named(row, nodeid);
  }
  return named;
}

function fieldTest(field: string, value: string, model: LiveModel): EntryTest {
  if (field === 'handle') return handleTest(value.toLowerCase().replaceAll(/[\s…]/g, ''), model);
  if (field === 'kind') return (row) => model.tables.entryAt(row).kind === value.toLowerCase();
  if (!/^[0-9]{1,20}$/.test(value)) return () => false;
  const number = BigInt(value);
  if (field.startsWith('node')) return (_row, nodeid) => BigInt(nodeid) === number;
  if (field === 'mount') return (row) => BigInt(model.tables.entryAt(row).ids.mntId) === number;
  return (row) => model.tables.entryAt(row).ids.ino === number;
}

function handleTest(part: string, model: LiveModel): EntryTest {
  return (row) => {
    const { handle } = model.tables.entryAt(row);
    return handle !== null && hex(handle.bytes).includes(part);
  };
}

function nameTest(text: string, model: LiveModel): EntryTest {
  const wanted = text.toLowerCase();
  if (wanted.includes('/')) {
    return (_row, nodeid) => model.path(nodeid)?.toLowerCase().includes(wanted) === true;
  }
  return (row) => {
    const name = model.paths.nameOf(row);
    return name !== null && nameText(name).toLowerCase().includes(wanted);
  };
}
