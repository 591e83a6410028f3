/** How entries and descriptors grew: a sample a second for a minute, one a minute for an hour. */

import type { GrowthSample } from '../hazards/resources';
import { GROWTH_SAMPLES } from '../protocol/budget';

const MINUTE_MS = 60_000;

export class GrowthSeries {
  readonly #minute: GrowthSample[] = [];
  readonly #hour: GrowthSample[] = [];

  /** The newest minute, the oldest sample first. */
  get minute(): readonly GrowthSample[] {
    return this.#minute;
  }

  /** The newest hour, and the sample with which it began. */
  get hour(): readonly GrowthSample[] {
    return this.#hour;
  }

  /** Takes a sample; called about once a second. */
  add(sample: GrowthSample): void {
    keep(this.#minute, sample, GROWTH_SAMPLES);
    const last = this.#hour.at(-1);
    // A clock that was set back begins anew.
    if (last !== undefined && sample.time < last.time) this.#hour.length = 0;
    if (last === undefined || Math.abs(sample.time - last.time) >= MINUTE_MS) {
      keep(this.#hour, sample, GROWTH_SAMPLES + 1);
    }
  }

  clear(): void {
    this.#minute.length = 0;
    this.#hour.length = 0;
  }
}

function keep(samples: GrowthSample[], sample: GrowthSample, most: number): void {
  samples.push(sample);
  if (samples.length > most) samples.shift();
}
