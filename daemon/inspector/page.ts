/** The files of the Key Map's page, read before they are out of sight. */

import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface PageFile {
  readonly type: string;
  /** Null: it is missing. */
  readonly bytes: Buffer | null;
}

/** By the path of their address. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const TYPES: Readonly<Record<string, string>> = {
  'map.js': 'text/javascript; charset=utf-8',
  'map.css': 'text/css; charset=utf-8',
};

/** @param folder of map.js and map.css */
export function readPage(folder: string): PageFiles {
  return new Map(
    Object.entries(TYPES).map(([name, type]) => [
      `/${name}`,
      { type, bytes: readOrNull(path.join(folder, name)) },
    ]),
  );
}

function readOrNull(file: string): Buffer | null {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}
