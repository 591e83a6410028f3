/**
 * The newest events, for those who ask what happened and for those who follow. Bounded.
 *
 * Most events wait here as the records that they came in and are made only when somebody looks:
 * a million small objects that live a minute each would keep the collector busy.
 */

import type { InspectorEvent } from '../protocol/eventJson';
import type { InsertEvent, LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { VolumeFacts } from '../tables/recorder';
import { recordLength } from '../trace/eventRing';
import { readRecord, RecordGlance } from '../trace/record';

/** 16 MiB of records: about 90,000 lookups. */
const RECORD_WORDS = 4 * 1024 * 1024;
/** Events that were objects from the start are rare, and each is a burden to the collector. */
const MAX_OBJECTS = 32_768;
/** When this many items have been dropped, their places are given back. */
const DROPPED = 32_768;

export class EventHistory {
  /** An event, or null for a record. */
  #items: (InspectorEvent | null)[] = [];
  /** The position of each item's first event. */
  #seqs: number[] = [];
  /** Where each record begins among the words, counted for ever; an event stands with the next. */
  #places: number[] = [];
  /** Items before this one are no longer kept. */
  #first = 0;
  #next = 1;
  #objects = 0;
  readonly #words: Int32Array;
  readonly #glance: RecordGlance;
  #head = 0;

  /** @param volumes what is known of the mounts, for the events made of records */
  constructor(
    private readonly volumes: ReadonlyMap<number, VolumeFacts>,
    words = RECORD_WORDS,
  ) {
    this.#words = new Int32Array(words);
    this.#glance = new RecordGlance(this.#words);
  }

  /** Takes the next event; `seq` grows by one each time. */
  push(event: InspectorEvent): void {
    this.#add(event, event.seq, 1);
  }

  /** Takes a copy of the next record, whose events begin at `seq`. */
  pushRecord(words: Int32Array, at: number, seq: number, events: number): void {
    const length = recordLength(words[at] ?? 0);
    const capacity = this.#words.length;
    const place = this.#head % capacity;
    if (place + length > capacity) this.#head += capacity - place;
    const start = this.#head % capacity;
    for (let i = 0; i < length; i++) this.#words[start + i] = words[at + i] ?? 0;
    this.#add(null, seq, events);
    this.#head += length;
    while ((this.#places[this.#first] ?? Infinity) < this.#head - capacity) this.#drop();
  }

  /** The oldest event still kept; the next one when there is none. */
  get oldest(): number {
    return this.#seqs[this.#first] ?? this.#next;
  }

  /** Up to `count` events from `seq` on. */
  from(seq: number, count: number): readonly InspectorEvent[] {
    const found: InspectorEvent[] = [];
    for (let i = this.#itemOf(seq); i < this.#items.length && found.length < count; i++) {
      for (const event of this.#eventsOf(i)) {
        if (event.seq >= seq && found.length < count) found.push(event);
      }
    }
    return found;
  }

  /** Up to `count` events that concern an entry, the newest first. */
  newestOf(
    nodeid: Nodeid,
    count: number,
    concerns: (event: InspectorEvent) => boolean,
  ): InspectorEvent[] {
    const found: InspectorEvent[] = [];
    for (let i = this.#items.length - 1; i >= this.#first && found.length < count; i--) {
      if (this.#items[i] === null) {
        const glance = this.#glance;
        glance.look((this.#places[i] ?? 0) % this.#words.length);
        // A plain record concerns nobody but its own node.
        if (glance.plain && glance.nodeid !== nodeid) continue;
      }
      for (const event of [...this.#eventsOf(i)].reverse()) {
        if (found.length < count && concerns(event)) found.push(event);
      }
    }
    return found;
  }

  /** The event at a place of the stream; null when it is not kept. */
  at(seq: number): InspectorEvent | null {
    if (seq < this.oldest) return null;
    return this.#eventsOf(this.#itemOf(seq)).find((event) => event.seq === seq) ?? null;
  }

  /** The newest event before `before` that passes, looking at no more than `most`. */
  newest(
    before: number,
    most: number,
    passes: (event: InspectorEvent) => boolean,
  ): InspectorEvent | null {
    let looked = 0;
    const last = Math.min(before, this.#next) - 1;
    if (last < this.oldest) return null;
    for (let i = this.#itemOf(last); i >= this.#first && looked < most; i--) {
      for (const event of [...this.#eventsOf(i)].reverse()) {
        looked++;
        if (event.seq < before && passes(event)) return event;
      }
    }
    return null;
  }

  /**
   * Events among which are all that concern an entry, the newest first: those of its own plain
   * records, at most `most` records, and all that are not plain.
   */
  around(nodeid: Nodeid, most: number): InspectorEvent[] {
    const found: InspectorEvent[] = [];
    let made = 0;
    for (let i = this.#items.length - 1; i >= this.#first && made < most; i--) {
      const item = this.#items[i];
      if (item != null) {
        found.push(item);
        continue;
      }
      const glance = this.#glance;
      glance.look((this.#places[i] ?? 0) % this.#words.length);
      if (glance.plain && glance.nodeid !== nodeid) continue;
      made++;
      found.push(...[...this.#eventsOf(i)].reverse());
    }
    return found;
  }

  /** How an entry was made; null when that is not kept. */
  creationOf(nodeid: Nodeid): { lookup: LookupEvent | null; insert: InsertEvent } | null {
    for (let i = this.#items.length - 1; i >= this.#first; i--) {
      if (this.#items[i] === null) {
        const glance = this.#glance;
        glance.look((this.#places[i] ?? 0) % this.#words.length);
        if (glance.nodeid !== nodeid || glance.kind !== 'lookup' || !glance.inserted) continue;
      }
      const insert = this.#eventsOf(i).find(
        (event) => event.type === 'insert' && event.nodeid === nodeid,
      );
      if (insert?.type !== 'insert') continue;
      // What hazards the lookup opened stands between the two.
      const lookup = this.newest(
        insert.seq,
        MAX_OBJECTS,
        ({ type }) => type !== 'hazard' && type !== 'hazard_closed',
      );
      return { lookup: lookup?.type === 'lookup' ? lookup : null, insert };
    }
    return null;
  }

  #add(item: InspectorEvent | null, seq: number, events: number): void {
    this.#items.push(item);
    this.#seqs.push(seq);
    this.#places.push(this.#head);
    this.#next = seq + events;
    if (item !== null) this.#objects++;
    while (this.#objects > MAX_OBJECTS) this.#drop();
    if (this.#first < DROPPED) return;
    this.#items = this.#items.slice(this.#first);
    this.#seqs = this.#seqs.slice(this.#first);
    this.#places = this.#places.slice(this.#first);
    this.#first = 0;
  }

  #drop(): void {
    if (this.#items[this.#first] !== null) this.#objects--;
    this.#items[this.#first] = null;
    this.#first++;
  }

  /** The index of the item that holds `seq`, or of the oldest. */
  #itemOf(seq: number): number {
    let low = this.#first;
    let high = this.#items.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#seqs[middle] ?? Infinity) <= seq) low = middle;
      else high = middle;
    }
    return low;
  }

  #eventsOf(index: number): readonly InspectorEvent[] {
    const item = this.#items[index];
    if (item === undefined) return [];
    if (item !== null) return [item];
    const events: InspectorEvent[] = [];
    let seq = this.#seqs[index] ?? 0;
    readRecord(this.#words, (this.#places[index] ?? 0) % this.#words.length, this.volumes, {
      nextSeq: () => seq++,
      event: (event) => events.push(event),
      volume: () => undefined,
    });
    return events;
  }
}
