/** Bytes and numbers as the text that people and JSON see. */

import type { FileHandle, Ids } from '../tables/identity';
import type { HandleJson, IdsJson } from './json';

// Every environment of this project has them (Node, pages), but the language's own library does not.
declare class TextDecoder {
  constructor(label: string, options: { fatal: boolean; ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}

declare class TextEncoder {
  encode(text: string): Uint8Array;
}

const encoder = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A name as text, without loss: UTF-8 as it is, every other byte as `\xNN`, a backslash doubled.
 */
export function nameText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes).replaceAll('\\', '\\\\');
  } catch {
    return mixedText(bytes);
  }
}

/** The bytes of a name that is written as `nameText` writes it. */
export function nameBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const part of text.match(/\\x[0-9a-f]{2}|\\\\|[^\\]+|\\/g) ?? []) {
    if (part.startsWith('\\x')) bytes.push(Number.parseInt(part.slice(2), 16));
    else bytes.push(...encoder.encode(part === '\\\\' ? '\\' : part));
  }
  return new Uint8Array(bytes);
}

function mixedText(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes[at] ?? 0);
    const part = bytes.subarray(at, at + length);
    try {
      if (part.length < length) throw new RangeError('cut off');
      text += utf8.decode(part).replaceAll('\\', '\\\\');
      at += length;
    } catch {
      text += `\\x${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`;
      at++;
    }
  }
  return text;
}

/** How many bytes a UTF-8 sequence has that begins with this one. */
function sequenceLength(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

export function idsToJson(ids: Ids): IdsJson {
  return {
    ino: String(ids.ino),
    dev: `${ids.dev.major}:${ids.dev.minor}`,
    mntId: String(ids.mntId),
  };
}

export function handleToJson(handle: FileHandle): HandleJson {
  return { mntId: String(handle.mntId), type: handle.type, bytes: hex(handle.bytes) };
}
