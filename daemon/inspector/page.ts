/** The files of the Key Map's page and the hazards' pages, read before they are out of sight. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface PageFile {
  readonly type: string;
  /** Null: it is missing. */
  readonly bytes: Buffer | null;
}

/** By the path of their address. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const HTML = 'text/html; charset=utf-8';
const CSS = 'text/css; charset=utf-8';
const TYPES: Readonly<Record<string, string>> = {
  'map.js': 'text/javascript; charset=utf-8',
  'map.css': CSS,
  'document.css': CSS,
};
/** The pages of docs/hazards, below the folder of the page. */
const HAZARDS = 'hazards';

/** @param folder of map.js and map.css */
export function readPage(folder: string): PageFiles {
  const files = Object.entries(TYPES).map(
    ([name, type]) => [`/${name}`, { type, bytes: readOrNull(path.join(folder, name)) }] as const,
  );
  const pages = hazardPages(path.join(folder, HAZARDS)).map(
    (file) =>
      [
        `/${HAZARDS}/${file === 'index.html' ? '' : path.parse(file).name}`,
        { type: HTML, bytes: readOrNull(path.join(folder, HAZARDS, file)) },
      ] as const,
  );
  return new Map([...files, ...pages]);
}

function hazardPages(folder: string): string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith('.html'));
  } catch {
    return [];
  }
}

function readOrNull(file: string): Buffer | null {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}
