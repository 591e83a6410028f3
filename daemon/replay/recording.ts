/**
 * A recorded event stream in a file: what `events --json` prints, one event a line. A first line of
 * the type `recording` may say what was recorded, and make a tour of it.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { decimal, targetJson } from '../protocol/json';
import type { Target } from '../protocol/json';
import { MAX_TOUR_STEPS, tourStep } from '../protocol/tour';
import type { RecordedEvent } from './readEvent';
import { readEvent } from './readEvent';

/** A recording is read whole; beyond this it is not. */
const MAX_BYTES = 512 * 1024 * 1024;

export const tourHeader = v.object({
  title: v.string(),
  /** What it shows, in one sentence, for lists. */
  summary: v.string(),
  steps: v.pipe(
    v.array(v.object({ ...tourStep.entries, /** The last event before it. */ after: decimal })),
    v.minLength(1),
    v.maxLength(MAX_TOUR_STEPS),
  ),
});
export type TourHeader = v.InferOutput<typeof tourHeader>;

export const recordingHeader = v.object({
  type: v.literal('recording'),
  version: v.literal(1),
  target: v.pick(targetJson, ['implementation', 'sharedDir', 'lookupRule', 'inodeFileHandles']),
  tour: v.nullable(tourHeader),
});
export type RecordingHeader = v.InferOutput<typeof recordingHeader>;

export interface Recording {
  readonly target: Omit<Target, 'pid'>;
  readonly tour: TourHeader | null;
  readonly events: readonly RecordedEvent[];
}

/** @throws Error with a sentence that names the file, the line and what is wrong with it */
export function readRecording(file: string): Recording {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(`The recording ${file} cannot be read (${why}).`);
  }
  if (bytes.length > MAX_BYTES) {
    throw new Error(`The recording ${file} is larger than ${MAX_BYTES / 1024 / 1024} MiB.`);
  }
  return parseRecording(bytes.toString('utf8'), file);
}

/** @throws as `readRecording` does */
export function parseRecording(text: string, file: string): Recording {
  let header: RecordingHeader | null = null;
  const events: RecordedEvent[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    try {
      const json = JSON.parse(line) as unknown;
      if (index === 0 && isHeader(json)) header = readHeader(json);
      else events.push(inOrder(readEvent(json), events.at(-1)));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Line ${index + 1} of ${file} is no recorded event: ${why}.`);
    }
  }
  const [first] = events;
  if (first === undefined) throw new Error(`There are no events in ${file}.`);
  if (first.type !== 'init') {
    throw new Error(
      `${file} begins in the middle of a session, with event ${first.seq}: what the tables held then ` +
        'is not known. Record with “events --json --from 1”, soon after the daemon has started.',
    );
  }
  return { target: targetOf(header, events, file), tour: header?.tour ?? null, events };
}

function isHeader(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'type' in json && json.type === 'recording';
}

function readHeader(json: unknown): RecordingHeader {
  const result = v.safeParse(recordingHeader, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${v.getDotPath(issue) ?? 'the header'}: ${issue.message}`);
}

function inOrder(event: RecordedEvent, before: RecordedEvent | undefined): RecordedEvent {
  if (before === undefined || event.seq === before.seq + 1) return event;
  throw new Error(`it has the number ${event.seq}, after ${before.seq}`);
}

/** What a bare stream does not say, as far as its events tell. */
function targetOf(
  header: RecordingHeader | null,
  events: readonly RecordedEvent[],
  file: string,
): Recording['target'] {
  const handles = events.some((event) => event.type === 'insert' && event.kind === 'handle');
  const mode = handles ? 'prefer' : 'never';
  return {
    ...(header?.target ?? {
      implementation: 'unknown daemon',
      sharedDir: file,
      lookupRule: 'handle-then-fd',
      inodeFileHandles: { requested: mode, effective: mode },
    }),
    kind: 'replay',
    level: 'instrumented',
    complete: true,
    transport: `recording ${path.basename(file)}`,
  };
}
