/**
 * The ids of a user namespace, user_namespaces(7). An ordinary user may map the own id alone;
 * ranges are mapped by newuidmap(1) and newgidmap(1), as far as /etc/subuid and /etc/subgid allow.
 */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { IdRange } from '../options/confinementOptions';

/**
 * Maps the ids of a process that waits in its new user namespace.
 *
 * @param uidMap empty: the own id, unchanged, as virtiofsd does
 * @param own effective ids of this process
 * @throws Error that says which map was refused and what to do
 */
export function mapIds(
  pid: number,
  uidMap: readonly IdRange[],
  gidMap: readonly IdRange[],
  own: { readonly uid: number; readonly gid: number },
): void {
  mapUids(pid, uidMap, own.uid);
  mapGids(pid, gidMap, own.gid);
}

function mapUids(pid: number, map: readonly IdRange[], own: number): void {
  const alone = ownAlone(map, own);
  if (alone === null) mapByProgram('newuidmap', '--uid-map', pid, map);
  else write(`/proc/${pid}/uid_map`, alone);
}

function mapGids(pid: number, map: readonly IdRange[], own: number): void {
  const alone = ownAlone(map, own);
  if (alone === null) {
    mapByProgram('newgidmap', '--gid-map', pid, map);
    return;
  }
  // Else groups could be dropped to gain what is denied to them.
  write(`/proc/${pid}/setgroups`, 'deny');
  write(`/proc/${pid}/gid_map`, alone);
}

/** The line of a map of the own id alone; null for other maps. */
function ownAlone(map: readonly IdRange[], own: number): string | null {
  const [first = { inside: own, outside: own, count: 1 }, ...more] = map;
  const alone = more.length === 0 && first.outside === own && first.count === 1;
  return alone ? `${first.inside} ${own} 1` : null;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(
      `The ids of the sandbox cannot be mapped (${file}: ${code}). ` +
        'Use --sandbox=none, or start the daemon as root.',
    );
  }
}

function mapByProgram(program: string, option: string, pid: number, map: readonly IdRange[]): void {
  const ranges = map.flatMap(({ inside, outside, count }) => [inside, outside, count].map(String));
  const done = spawnSync(program, [String(pid), ...ranges], { encoding: 'utf8' });
  if (done.error !== undefined) {
    throw new Error(
      `${option} needs ${program}, which cannot be run (${done.error.message}): install the package ` +
        `uidmap or shadow-utils, or leave ${option} out.`,
    );
  }
  if (done.status !== 0) {
    const file = program === 'newuidmap' ? '/etc/subuid' : '/etc/subgid';
    throw new Error(
      `${option} was refused: ${done.stderr.trim()}. The ranges of a user stand in ${file}.`,
    );
  }
}
