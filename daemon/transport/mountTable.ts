/** Reading /proc/self/mountinfo (proc(5)). */

import { readFileSync } from 'node:fs';

export interface MountEntry {
  readonly id: number;
  /** "major:minor" of the file system. */
  readonly device: string;
  /** As the kernel writes it, with octal escapes. */
  readonly escapedPoint: string;
  readonly point: string;
  readonly type: string;
  readonly source: string;
}

export function readMounts(): MountEntry[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(parseLine)
    .filter((entry) => entry !== undefined);
}

/** The mount that a path leads to when it is a mount point: the last one there. */
export function mountAt(point: string): MountEntry | undefined {
  return readMounts()
    .filter((entry) => entry.point === point)
    .at(-1);
}

function parseLine(line: string): MountEntry | undefined {
  const [before, after] = line.split(' - ');
  const [id, , device, , escapedPoint] = before?.split(' ') ?? [];
  const [type, source] = after?.split(' ') ?? [];
  if (id === undefined || device === undefined || escapedPoint === undefined) return undefined;
  return {
    id: Number(id),
    device,
    escapedPoint,
    point: unescapeMountField(escapedPoint),
    type: type ?? '',
    source: source ?? '',
  };
}

/** Space, tab, newline and backslash are written as \ooo. */
export function unescapeMountField(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}
