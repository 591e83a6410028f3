/**
 * The tours on the real daemon: each plays as it is told, and has the shape of its recording. With
 * RECORD_TOURS=1 the recordings are written instead (npm run record-tours).
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { EventJson } from '../../daemon/protocol/json';
import type { RecordingHeader, TourHeader } from '../../daemon/replay/recording';
import { recordingHeader } from '../../daemon/replay/recording';
import type { DebugSession } from '../filesystem/debugSession';
import { attach } from '../filesystem/debugSession';
import * as v from 'valibot';
import type { Daemon } from './share';
import { hazardOf, isLookup, isMarker, makeFileSystem, newFolder, scenario, serve } from './share';
import type { Stage, TourScript } from './tourScripts';
import { TOUR_SCRIPTS } from './tourScripts';

const TOURS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../tours');
const recording = process.env['RECORD_TOURS'] === '1';

const fileOf = ({ name }: TourScript) => path.join(TOURS, `${name}.jsonl`);
const isOwn = (event: EventJson) => !(isLookup(event) && isMarker(event.name));

/** Positions without the lookups that only waited. */
function renumbered(events: readonly EventJson[]): EventJson[] {
  const places = new Map<string, string>();
  for (const event of events.filter(isOwn)) places.set(event.seq, String(places.size + 1));
  const place = (seq: string) => places.get(seq) ?? seq;
  return events.filter(isOwn).map((event) => {
    const hazard = hazardOf(event);
    if (hazard === null) return { ...event, seq: place(event.seq) };
    const advice = hazard.advice.replace(
      /\(event (\d+)\)/,
      (_, seq: string) => `(event ${place(seq)})`,
    );
    return {
      ...event,
      seq: place(event.seq),
      hazard: { ...hazard, advice, seq: place(hazard.seq) },
    };
  });
}

/** What a step shows, without the numbers that differ from run to run. */
function shape(events: readonly EventJson[], steps: TourHeader['steps']): unknown {
  const ends = steps.map(({ after }) => Number(after));
  return steps.map(({ title, nodeids, hazards }, i) => {
    const own = events.filter(
      ({ seq }) => Number(seq) > (ends[i - 1] ?? 0) && Number(seq) <= (ends[i] ?? 0),
    );
    const found = (type: string) =>
      own.flatMap((event) => {
        const hazard = event.type === type ? hazardOf(event) : null;
        // What only informs may come with any version; a step says which of it is its point.
        if (hazard?.severity === 'information' && !hazards.includes(hazard.id)) return [];
        return hazard === null ? [] : `${hazard.id} ${hazard.severity} ${hazard.nodeids.join(',')}`;
      });
    return {
      title,
      nodeids,
      hazards,
      lookups: own
        .filter(isLookup)
        .map(({ op, name, hit, nodeid, errno }) => [op, name, hit, nodeid ?? errno].join(' ')),
      opened: found('hazard').sort(),
      closed: found('hazard_closed').sort(),
    };
  });
}

function read(file: string): { header: RecordingHeader; events: EventJson[] } {
  const [first = '', ...lines] = fs.readFileSync(file, 'utf8').trim().split('\n');
  return {
    header: v.parse(recordingHeader, JSON.parse(first)),
    events: lines.map((line) => JSON.parse(line) as EventJson),
  };
}

async function play(script: TourScript, daemon: Daemon, debug: DebugSession) {
  const steps: TourHeader['steps'] = [];
  const stage: Stage = {
    daemon,
    fail: (name, errno, kind) =>
      debug.inject({ call: 'name_to_handle_at', errno, path: `**/${name}`, when: { kind } }),
    stopFailing: () => debug.inject(),
    async tell({ title, text, nodeids = [], hazards = [], closed = [] }) {
      await daemon.settle();
      // What a probe finds comes when it comes; everything else is there by now.
      for (const id of hazards) await daemon.hazard(id);
      for (const id of closed) await daemon.hazard(id, 'closed');
      const after = daemon.events.filter(isOwn).at(-1)?.seq ?? '0';
      steps.push({ after, title, text, nodeids: nodeids.map(String), hazards: [...hazards] });
    },
  };
  await script.play(stage);
  const events = daemon.events.filter(({ seq }) => Number(seq) <= Number(steps.at(-1)?.after));
  const places = new Map(events.filter(isOwn).map(({ seq }, i) => [seq, String(i + 1)]));
  return {
    events: renumbered(events),
    steps: steps.map((step) => ({ ...step, after: places.get(step.after) ?? step.after })),
  };
}

for (const fileSystem of new Set(TOUR_SCRIPTS.map((script) => script.fileSystem))) {
  const programs = fileSystem === 'btrfs' ? ['btrfs'] : [];
  scenario(`tours on ${fileSystem}`, { fileSystems: [fileSystem], programs }, () => {
    let daemon: Daemon;
    let debug: DebugSession | undefined;
    afterEach(async () => {
      debug?.close();
      debug = undefined;
      await daemon.stop();
    });

    it.each(TOUR_SCRIPTS.filter((script) => script.fileSystem === fileSystem))(
      '$name: $title',
      async (script) => {
        // Fresh: inode numbers are part of what is told.
        const disk = await makeFileSystem(script.fileSystem);
        const { handles, lookupRule, title, summary } = script;
        daemon = await serve(newFolder(disk), {
          handles,
          ...(lookupRule === undefined ? {} : { lookupRule }),
        });
        debug = await attach(daemon.pid);
        const { events, steps } = await play(script, daemon, debug);
        if (recording) {
          const { target } = await daemon.snapshot();
          const { implementation, inodeFileHandles } = target;
          const header: RecordingHeader = {
            type: 'recording',
            version: 1,
            target: {
              implementation,
              sharedDir: `tour ${script.name}`,
              lookupRule: target.lookupRule,
              inodeFileHandles,
            },
            tour: { title, summary, steps },
          };
          fs.mkdirSync(TOURS, { recursive: true });
          const lines = [header, ...events].map((line) => JSON.stringify(line));
          fs.writeFileSync(fileOf(script), `${lines.join('\n')}\n`);
        }
        const recorded = read(fileOf(script));
        expect(recorded.header.tour).toMatchObject({ title, summary });
        expect(shape(events, steps)).toEqual(
          shape(recorded.events, recorded.header.tour?.steps ?? []),
        );
      },
    );
  });
}
