/** The Number Lanes in words. */

import type { LaneBarJson, LaneClass, LaneJson } from '../daemon/protocol/lanes';
import { countText, idsShort, KINDS, plural, timeText } from './words';

export const LANE_CLASS_WORDS: {
  readonly [C in LaneClass]: { readonly name: string; readonly means: string };
} = {
  wrong: { name: 'wrong answer', means: 'an entry answered a lookup of another file' },
  held: {
    name: 'held now',
    means: 'two files have this number: the guest still holds the old one',
  },
  was_held: {
    name: 'was held',
    means: 'the number was used again before the guest forgot the old file',
  },
  twice: { name: 'two entries', means: 'one file has two node ids' },
  sequential: {
    name: 'harmless',
    means: 'one file after the other: the old one was forgotten first',
  },
};

/** `350 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1) return 'less than 1 ms';
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${countText(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

export function clockText(time: number): string {
  return timeText(new Date(time).toISOString());
}

/** What the lane shows, in a few words. */
export function laneText(lane: LaneJson, now: number): string {
  const overlap =
    lane.overlap + (lane.overlapSince === null ? 0 : Math.max(0, now - lane.overlapSince));
  switch (lane.class) {
    case 'wrong':
      return plural(lane.wrongAnswers, 'wrong answer', 'wrong answers');
    case 'held':
      return `reused, old file held ${durationText(overlap)}`;
    case 'was_held':
      return `reused while held, ${durationText(overlap)}`;
    case 'twice':
      return 'two entries for one file';
    case 'sequential':
      return `${plural(lane.owners, 'file', 'files')}, one after the other`;
  }
}

export function barTitle(bar: LaneBarJson): string {
  const generation = bar.generation === null ? '' : ` gen ${bar.generation}`;
  return `${bar.nodeid}${bar.path === null ? '' : ` ${bar.path}`}${generation}`;
}

/** Everything about a bar, a sentence a line. */
export function barLines(bar: LaneBarJson, now: number): string[] {
  const began = bar.from === null ? 'before the daemon was watched' : `at ${clockText(bar.from)}`;
  const lasted = bar.from === null ? '' : ` (${durationText((bar.to ?? now) - bar.from)})`;
  const ended = bar.to === null ? `lives${lasted}` : `forgotten at ${clockText(bar.to)}${lasted}`;
  return [
    `Node ${bar.nodeid} ${bar.path === null ? '(name unknown)' : `“${bar.path}”`}, ${KINDS[bar.kind].holds}`,
    ...(bar.generation === null ? [] : [`Generation ${bar.generation}`]),
    ...(bar.owner === null
      ? ['Which file it was cannot be told: no handle, no time of birth']
      : []),
    `Came ${began}, ${ended}`,
    ...(bar.taken === null ? [] : [`Another entry took the key at ${clockText(bar.taken)}`]),
    ...(bar.stale === null
      ? []
      : [`Its handle does not open any more: ${bar.stale.errno} at ${clockText(bar.stale.time)}`]),
    ...bar.wrong
      .slice(-3)
      .map(
        ({ time, hazard, asked }) =>
          `${clockText(time)}: answered a lookup of ${asked ?? 'another file'}, which it is not (${hazard})`,
      ),
    ...(bar.wrongAnswers > 3
      ? [`${plural(bar.wrongAnswers, 'wrong answer', 'wrong answers')} in all`]
      : []),
  ];
}

/** The whole lane in one sentence. */
export function laneSentence(lane: LaneJson, now: number): string {
  const dropped =
    lane.barsDropped === 0
      ? ''
      : `, ${plural(lane.barsDropped, 'older entry is', 'older entries are')} no longer kept`;
  return `ids ${idsShort(lane.ids)}: ${laneText(lane, now)}, ${plural(lane.bars.length, 'entry', 'entries')}${dropped}.`;
}
