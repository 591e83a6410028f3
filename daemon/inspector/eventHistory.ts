/** The newest events, for those who ask what happened and for those who follow. Bounded. */

import type { InspectorEvent } from '../protocol/eventJson';

/** About 20 MB at the most, and at a person's pace hours. */
const KEPT = 32_768;

export class EventHistory {
  readonly #events: InspectorEvent[] = [];
  #firstSeq = 1;

  /** Takes the next event; `seq` grows by one each time. */
  push(event: InspectorEvent): void {
    if (this.#events.length === 0) this.#firstSeq = event.seq;
    this.#events.push(event);
    if (this.#events.length < KEPT + KEPT / 4) return;
    this.#events.splice(0, this.#events.length - KEPT);
    this.#firstSeq = this.#events[0]?.seq ?? event.seq;
  }

  /** The oldest event still kept. */
  get oldest(): number {
    return this.#firstSeq;
  }

  /** Up to `count` events from `seq` on. */
  from(seq: number, count: number): readonly InspectorEvent[] {
    const at = Math.max(0, seq - this.#firstSeq);
    return this.#events.slice(at, at + count);
  }

  /** Up to `count` events that pass the test, the newest first. */
  newest(count: number, test: (event: InspectorEvent) => boolean): InspectorEvent[] {
    const found: InspectorEvent[] = [];
    for (let i = this.#events.length - 1; i >= 0 && found.length < count; i--) {
      const event = this.#events[i];
      if (event !== undefined && test(event)) found.push(event);
    }
    return found;
  }
}
