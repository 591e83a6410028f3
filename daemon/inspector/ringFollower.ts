/**
 * Follows the event ring: folds what comes, as soon as it comes, and starts anew from the tables
 * themselves when events were lost or did not fit.
 */

import { DriftError } from '../tables/events';
import type { TablesImage } from '../tables/inodeTables';
import type { VolumeFacts } from '../tables/recorder';
import { RingReader } from '../trace/eventRing';
import type { RecordSink } from '../trace/record';
import { readRecord, RecordGlance } from '../trace/record';
import type { EventHistory } from './eventHistory';
import type { Log } from './inspectorSession';
import type { LiveModel } from './liveModel';

/** Records folded before the event loop gets its turn. */
const BATCH = 4_096;
/** Milliseconds until the ring is looked at again after it had something; then it may wake us. */
const INTERVAL = 3;

export interface FollowerActions {
  /** The model changed. */
  changed(): void;
  /** The source shall send its tables; they come back through `restore`. */
  askForTables(): void;
}

export class RingFollower {
  readonly #reader: RingReader;
  readonly #glance: RecordGlance;
  readonly #sink: RecordSink;
  #timer: NodeJS.Timeout | null = null;
  readonly #waiting: (() => void)[] = [];
  #awaitingTables = false;
  /** What is in the ring makes no sense any more. */
  #drifted = false;

  /** @param volumes what the ring says of mounts is noted here */
  constructor(
    ring: SharedArrayBuffer,
    private readonly model: LiveModel,
    private readonly history: EventHistory,
    private readonly volumes: Map<number, VolumeFacts>,
    private readonly actions: FollowerActions,
    private readonly log: Log,
  ) {
    this.#reader = new RingReader(ring);
    this.#glance = new RecordGlance(this.#reader.words);
    this.#sink = {
      nextSeq: () => model.nextSeq++,
      event: (event) => model.fold(event),
      volume: (facts) => {
        volumes.set(facts.mntId, facts);
        model.volume(facts);
        model.lanes.mounted(facts);
      },
    };
  }

  /** To be called at the start, and whenever the writer wakes its reader. */
  woken(): void {
    if (this.#timer === null) this.#drain();
  }

  /**
   * Folds all that is in the ring now, and calls back when the model has it: at once, unless events
   * were lost and the tables are awaited.
   */
  whenCaughtUp(then: () => void): void {
    this.#waiting.push(then);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#drain();
  }

  /**
   * Goes on from the source's tables.
   *
   * @param head the writer's position when it made the image; what it wrote before is in there
   */
  restore(image: TablesImage, head: number): void {
    this.#reader.skipTo(head);
    this.#drifted = false;
    this.#awaitingTables = false;
    this.model.restore(image);
    this.actions.changed();
    this.#drain();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#awaitingTables = true;
  }

  #drain(): void {
    this.#timer = null;
    // What comes after a gap makes sense only once the tables of that moment are here.
    if (this.#awaitingTables) return;
    const taken = this.#reader.drain(BATCH, (words, at) => this.#take(words, at));
    if (taken > 0) this.actions.changed();
    if (taken === BATCH) {
      this.#again(0);
      return;
    }
    if (!this.#reader.lost) for (const then of this.#waiting.splice(0)) then();
    if (this.#reader.lost) {
      this.#awaitingTables = true;
      if (!this.#drifted) {
        this.log.warn('Events came faster than they could be followed; reading the tables anew.');
      }
      this.actions.askForTables();
    } else if (taken > 0) this.#again(INTERVAL);
    else if (!this.#reader.sleep()) this.#again(0);
  }

  #again(wait: number): void {
    this.#timer = setTimeout(() => this.#drain(), wait);
  }

  #take(words: Int32Array, at: number): void {
    if (this.#drifted) return;
    const { model, history } = this;
    this.#glance.look(at);
    const seq = model.nextSeq;
    try {
      if (model.foldPlain(this.#glance)) history.pushRecord(words, at, seq, this.#glance.events);
      else readRecord(words, at, this.volumes, this.#sink);
    } catch (error) {
      if (!(error instanceof DriftError)) throw error;
      // A mistake of ours, which must not end the guest's mount.
      this.#drifted = true;
      this.#reader.giveUp();
      this.log.warn(`The copy of the tables is wrong (${error.message}); reading them anew.`);
    }
  }
}
