/** `replay` and `tour`: recorded event streams, served as a running daemon is. */

import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { loadAddon } from '../native/index';
import { startInspectorServer } from './inspector/inspectorServer';
import type { InspectAddress } from './inspector/listening';
import { parseInspectAddress } from './inspector/listening';
import { readPage } from './inspector/page';
import { openObservation } from './observation';
import type { Recording } from './replay/recording';
import { readRecording } from './replay/recording';
import { Replay } from './replay/replay';
import { tourGuide } from './replay/tourGuide';

/** The tours that are shipped, one file each; the build copies them here. */
const TOURS = path.join(__dirname, '..', 'tours');
const SUFFIX = '.jsonl';

interface Given {
  readonly inspect?: InspectAddress;
}

export function addReplayCommands(program: Command): void {
  program
    .command('replay')
    .description('serve a recorded event stream (of “events --json”) as if it happened again')
    .argument('<file>', 'the recording, from the first event on')
    .option('--inspect <address>', 'HOST:PORT on loopback, or unix:PATH (a free port)', address)
    .action((file: string, given: Given) => serveRecording(readRecording(file), given));
  program
    .command('tour')
    .description('a recorded scenario, explained step by step; needs no daemon and no rights')
    .argument('[name]', 'which one; left out: lists them')
    .option('--inspect <address>', 'HOST:PORT on loopback, or unix:PATH (a free port)', address)
    .option('--json', 'the list as JSON')
    .action((name: string | undefined, given: Given & { readonly json?: true }) =>
      name === undefined ? list(given.json === true) : serveRecording(readTour(name), given),
    );
}

function address(text: string): InspectAddress {
  try {
    return parseInspectAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** Those of the catalogue (S1, S2, …) before those of the discussion (A, B, C). */
function tourNames(): string[] {
  const late = (name: string) => Number(name.length === 1);
  return readdirSync(TOURS)
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length))
    .sort((a, b) => late(a) - late(b) || a.localeCompare(b, 'en', { numeric: true }));
}

function readTour(name: string): Recording {
  const known = tourNames().find((one) => one.toLowerCase() === name.toLowerCase());
  if (known === undefined) {
    throw new Error(`There is no tour “${name}”; there are ${tourNames().join(', ')}.`);
  }
  return readRecording(path.join(TOURS, `${known}${SUFFIX}`));
}

function list(json: boolean): void {
  const tours = tourNames().map((name) => {
    const { tour } = readTour(name);
    return { name, title: tour?.title ?? name, summary: tour?.summary ?? '' };
  });
  const text = json
    ? JSON.stringify(tours)
    : tours.map(({ name, title, summary }) => `${name}  ${title}\n    ${summary}`).join('\n');
  process.stdout.write(`${text}\n`);
}

/** Serves until a signal ends it. */
async function serveRecording(recording: Recording, given: Given): Promise<void> {
  const replay = new Replay({ ...recording.target, pid: process.pid }, recording.events);
  const log = {
    info: (sentence: string) => void process.stderr.write(`${sentence}\n`),
    warn: (sentence: string) => void process.stderr.write(`${sentence}\n`),
  };
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  const observation = openObservation(loadAddon(), given.inspect ?? parseInspectAddress(''));
  try {
    const tour =
      recording.tour === null
        ? null
        : tourGuide(recording.tour, replay, {
            startOver: () => server.startOver(replay.now.model, replay.now.history),
            moved: () => server.changed(),
          });
    if (tour === null) replay.playTo(Infinity);
    const { model, history } = replay.now;
    const { listener, token } = observation;
    const page = readPage(path.join(__dirname, '..', 'webview'));
    const server = await startInspectorServer(
      listener,
      token,
      model,
      history,
      page,
      log,
      null,
      tour,
    );
    observation.publish('replay', recording.target.sharedDir, recording.target.transport);
    if (server.page !== null) log.info(`The Key Map is at ${server.page}`);
    await stopped;
    await server.close('The recording is no longer served.');
  } finally {
    observation.remove();
  }
}
