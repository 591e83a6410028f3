/**
 * One byte a row, the worst thing there is to say about it, and above it levels that each take the
 * maximum of four cells below. Any range is so reduced to any number of cells in time proportional
 * to the cells, and the one bad row among a million is in the cell that covers it.
 *
 * Moreta and Telea (EuroVis 2007) call it importance-based anti-aliasing.
 */

const FAN = 4;

export class SeverityPyramid {
  #levels: Uint8Array[] = levelsAbove(new Uint8Array(64));

  get byteLength(): number {
    return this.#levels.reduce((sum, level) => sum + level.length, 0);
  }

  set(row: number, state: number): void {
    if (row >= this.#base.length) this.#grow(row + 1);
    let at = row;
    let value = state;
    for (let depth = 0; depth < this.#levels.length; depth++) {
      const level = this.#levels[depth];
      if (level === undefined || level[at] === value) return;
      level[at] = value;
      const parent = Math.floor(at / FAN);
      value = maximum(level, parent * FAN, Math.min(level.length, (parent + 1) * FAN));
      at = parent;
    }
  }

  at(row: number): number {
    return this.#base[row] ?? 0;
  }

  clear(): void {
    for (const level of this.#levels) level.fill(0);
  }

  /** The maximum over rows [from, to). */
  max(from: number, to: number): number {
    let worst = 0;
    let low = from;
    let high = Math.min(to, this.#base.length);
    // Eat ragged ends at each level, then climb.
    for (const level of this.#levels) {
      while (low < high && low % FAN !== 0) worst = Math.max(worst, level[low++] ?? 0);
      while (low < high && high % FAN !== 0) worst = Math.max(worst, level[--high] ?? 0);
      if (low >= high) break;
      low /= FAN;
      high /= FAN;
    }
    return worst;
  }

  /** Rows [from, to) as that many cells, each the maximum of the rows that it covers. */
  cells(from: number, to: number, count: number): Uint8Array {
    const out = new Uint8Array(count);
    const width = (to - from) / count;
    for (let i = 0; i < count; i++) {
      const first = Math.floor(from + i * width);
      const last = Math.max(first + 1, Math.floor(from + (i + 1) * width));
      out[i] = this.max(first, last);
    }
    return out;
  }

  get #base(): Uint8Array {
    return this.#levels[0] ?? new Uint8Array(0);
  }

  #grow(rows: number): void {
    const old = this.#base;
    const base = new Uint8Array(Math.ceil(Math.max(rows, old.length * 1.125) / FAN) * FAN);
    base.set(old);
    this.#levels = levelsAbove(base);
  }
}

/** The rows' own level and all above it, up to one of a single cell, where every range ends. */
function levelsAbove(base: Uint8Array): Uint8Array[] {
  const levels = [base];
  for (let below = base; below.length > 1;) {
    const level = new Uint8Array(Math.ceil(below.length / FAN));
    for (let i = 0; i < level.length; i++) {
      level[i] = maximum(below, i * FAN, Math.min(below.length, (i + 1) * FAN));
    }
    levels.push(level);
    below = level;
  }
  return levels;
}

function maximum(values: Uint8Array, from: number, to: number): number {
  let worst = 0;
  for (let i = from; i < to; i++) worst = Math.max(worst, values[i] ?? 0);
  return worst;
}
