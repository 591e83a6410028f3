/**
 * Plays a recording: a model folded from its events, as far as it has been played. Events are judged
 * anew, so that an old recording shows what is known of hazards today; what was found then from
 * outside the stream (a probe's answer, the host's mounts) is taken from the recording.
 */

import { EventHistory } from '../inspector/eventHistory';
import { errnoNumber } from '../inspector/errnoName';
import { LiveModel } from '../inspector/liveModel';
import type { HazardJson, Target } from '../protocol/json';
import type { LookupEvent } from '../tables/events';
import { DriftError } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import { asNodeid } from '../tables/identity';
import type { RecordedEvent, RecordedHazard, RecordedNote } from './readEvent';

export interface Played {
  readonly model: LiveModel;
  readonly history: EventHistory;
}

export class Replay {
  #played = 0;
  #now: Played;
  /** Lookups that made the model ask for a probe, by the entry to be probed. */
  #asked = new Map<Nodeid, LookupEvent | null>();

  constructor(
    private readonly target: Target,
    private readonly events: readonly RecordedEvent[],
  ) {
    this.#now = this.#beginning();
  }

  get now(): Played {
    return this.#now;
  }

  /**
   * Plays until the event with this number; back to it from the very first event.
   *
   * @returns whether the model is another one now
   * @throws Error when an event does not fit those before it
   */
  playTo(seq: number): boolean {
    const back = (this.events[this.#played - 1]?.seq ?? 0) > seq;
    if (back) {
      this.#played = 0;
      this.#asked.clear();
      this.#now = this.#beginning();
    }
    for (;;) {
      const event = this.events[this.#played];
      if (event === undefined || event.seq > seq) return back;
      this.#played++;
      try {
        this.#fold(event);
      } catch (error) {
        if (!(error instanceof DriftError)) throw error;
        throw new Error(`Event ${event.seq} does not fit those before it: ${error.message}.`);
      }
    }
  }

  #beginning(): Played {
    const history = new EventHistory(new Map());
    const model = new LiveModel(this.target, {
      event: (event) => history.push(event),
      probe: (nodeid, because) => void this.#asked.set(nodeid, because),
    });
    return { model, history };
  }

  #fold(event: RecordedEvent): void {
    const { model } = this.#now;
    if ('hazard' in event) {
      this.#found(event);
      return;
    }
    if (isNote(event)) return;
    model.fold({ ...event, seq: model.nextSeq++ });
    // Files that the guest has opened are not in the stream; the entries' descriptors are.
    model.budget.descriptors.used = model.tables.entriesOfKind('file');
  }

  /** What the model has not found by itself, its daemon knew from elsewhere. */
  #found({ type, hazard }: RecordedHazard): void {
    const { model } = this.#now;
    const nodeids = hazard.nodeids.flatMap((text) => asNodeid(Number(text)) ?? []);
    if (type === 'hazard_closed') {
      model.hazards.withdraw(hazard.id, nodeids);
      return;
    }
    if (!this.#answersProbe(hazard, nodeids)) {
      model.hazards.adopt({ ...hazard, nodeids, state: 'open', seq: model.nextSeq - 1 });
    }
  }

  /** A probe that failed is known by the hazard that it revealed. */
  #answersProbe({ evidence }: HazardJson, nodeids: readonly Nodeid[]): boolean {
    const errno =
      typeof evidence['probe'] === 'string' ? errnoNumber(evidence['probe']) : undefined;
    const nodeid = nodeids.find((one) => this.#asked.has(one));
    if (errno === undefined || nodeid === undefined) return false;
    const because = this.#asked.get(nodeid) ?? null;
    this.#asked.delete(nodeid);
    this.#now.model.probed({ nodeid, errno, because });
    return true;
  }
}

/** A name that changes is found anew; what a mount's going meant stands in a hazard. */
function isNote(event: RecordedEvent): event is RecordedNote {
  return event.type === 'name_changed' || event.type === 'mount_changed';
}
