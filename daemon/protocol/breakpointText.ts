/** Breakpoints as people write them: on the command line, and as an editor's function breakpoints. */

import * as v from 'valibot';
import { HIT_KINDS } from '../tables/hitKind';
import { DECISIONS } from '../tables/stops';
import type { BreakpointJson } from './debug';
import { breakpointJson } from './debug';

/** A breakpoint without the number that it gets when it is armed. */
export type Wanted = Omit<BreakpointJson, 'id'>;

type Draft = { -readonly [K in keyof Wanted]: Wanted[K] };

/**
 * An operation (`LOOKUP`), a decision (`fallback_rejected`), a hit kind (`miss`), a path glob
 * (`src/**`), and criteria by name (`errno=ESTALE`), each at most once.
 *
 * @throws Error with a sentence when a word cannot be understood
 */
export function parseBreakpoint(spec: string): Wanted {
  const draft: Draft = {};
  const words = spec.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) {
    throw new Error(
      `Name an operation such as LOOKUP, or a decision: ${DECISIONS.join(', ')}; or both.`,
    );
  }
  for (const word of words) {
    const equals = word.indexOf('=');
    const before = Object.keys(draft).length;
    if (equals === -1) addWord(draft, word);
    else addField(draft, word.slice(0, equals), word.slice(equals + 1));
    if (Object.keys(draft).length === before) {
      throw new Error(`“${word}” is one word too many: there is such a criterion already.`);
    }
  }
  return checked(spec, draft);
}

function checked(spec: string, draft: Draft): Wanted {
  const parsed = v.safeParse(v.omit(breakpointJson, ['id']), draft);
  if (parsed.success) return parsed.output;
  const where = v.getDotPath(parsed.issues[0]) ?? 'it';
  throw new Error(`“${spec}”: ${where}: ${parsed.issues[0].message}.`);
}

function addWord(draft: Draft, word: string): void {
  const decision = DECISIONS.find((known) => known === word);
  const hit = HIT_KINDS.find((known) => known === word);
  if (decision !== undefined) draft.decision = decision;
  else if (hit !== undefined) draft.hit = hit;
  else if (/^[A-Z_]{1,30}$/.test(word)) draft.operation = word;
  else draft.path = word;
}

function addField(draft: Draft, name: string, value: string): void {
  switch (name) {
    case 'op':
      draft.operation = value;
      return;
    case 'path':
      draft.path = value;
      return;
    case 'node':
      draft.node = value;
      return;
    case 'entry':
      draft.entry = value;
      return;
    case 'hit': {
      const hit = HIT_KINDS.find((known) => known === value);
      if (hit === undefined)
        throw new Error(`There is no hit kind ${value}; there are ${HIT_KINDS.join(', ')}.`);
      draft.hit = hit;
      return;
    }
    case 'hazard':
      draft.hazard = value;
      return;
    case 'errno':
      draft.errno = value;
      return;
    case 'fds':
      draft.fdsAbove = value === '' ? NaN : Number(value);
      return;
    case 'ids': {
      const { ino, dev, mntId } = idsOf(value);
      draft.ids = {
        ino,
        ...(dev === undefined ? {} : { dev }),
        ...(mntId === undefined ? {} : { mntId }),
      };
      return;
    }
    case 'handle':
      draft.handle = { bytes: value };
      return;
    case 'key':
      draft.key = keyOf(value);
      return;
    default:
      throw new Error(
        `“${name}=” is no criterion; there are op, path, node, ids, handle, hit, hazard, errno, fds, key and entry.`,
      );
  }
}

function idsOf(text: string): {
  ino: string;
  dev?: string | undefined;
  mntId?: string | undefined;
} {
  const [ino = '', dev, mntId, ...rest] = text.split('/');
  if (ino === '' || rest.length > 0) throw new Error(`Ids are INO/MAJ:MIN/MNT, not “${text}”.`);
  return { ino, dev, mntId };
}

function keyOf(text: string): NonNullable<BreakpointJson['key']> {
  const colon = text.indexOf(':');
  const table = text.slice(0, colon);
  const value = text.slice(colon + 1);
  if (table === 'ids') {
    const { ino, dev, mntId } = idsOf(value);
    if (dev !== undefined && mntId !== undefined) {
      return { table: 'inodes_by_ids', ids: { ino, dev, mntId } };
    }
  }
  if (table === 'handle') {
    const [mntId, type, bytes] = value.split('/');
    if (mntId !== undefined && type !== undefined && bytes !== undefined) {
      return { table: 'inodes_by_handle', handle: { mntId, type: Number(type), bytes } };
    }
  }
  throw new Error(`A key is ids:INO/MAJ:MIN/MNT or handle:MNT/TYPE/HEX, not “${text}”.`);
}
