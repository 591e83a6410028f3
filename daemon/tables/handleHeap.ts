/**
 * The bytes of file handles, packed as 32-bit words, the last word padded with zeros, so that equal
 * handles are equal words. A handle is known by the index of its first word; its owner remembers
 * the type and the length in bytes.
 */

const SMALLEST = 256;

/** Words that a handle of this many bytes takes. */
function wordsFor(length: number): number {
  return (length + 3) >> 2;
}

export interface HandleHeapImage {
  readonly words: Int32Array<ArrayBuffer>;
  readonly end: number;
  readonly free: readonly (readonly number[])[];
}

export class HandleHeap {
  #words = new Int32Array(SMALLEST);
  #end = 0;
  /** Freed places by size in words; handles of one file system have one or two sizes. */
  #free: number[][] = [];

  get byteLength(): number {
    return this.#words.byteLength;
  }

  put(words: Int32Array, length: number): number {
    const size = wordsFor(length);
    const at = this.#free[size]?.pop() ?? this.#extend(size);
    for (let i = 0; i < size; i++) this.#words[at + i] = words[i] ?? 0;
    return at;
  }

  drop(at: number, length: number): void {
    const size = wordsFor(length);
    (this.#free[size] ??= []).push(at);
  }

  equals(at: number, words: Int32Array, length: number): boolean {
    const size = wordsFor(length);
    for (let i = 0; i < size; i++) if (this.#words[at + i] !== words[i]) return false;
    return true;
  }

  /** Copies the handle's bytes, as padded words, to the start of `out`. */
  copyTo(at: number, length: number, out: Int32Array, outAt: number): void {
    const size = wordsFor(length);
    for (let i = 0; i < size; i++) out[outAt + i] = this.#words[at + i] ?? 0;
  }

  hash(at: number, type: number, length: number): number {
    return hashWords(this.#words, at, wordsFor(length), type);
  }

  clear(): void {
    this.#words = new Int32Array(SMALLEST);
    this.#end = 0;
    this.#free = [];
  }

  image(): HandleHeapImage {
    return { words: this.#words.slice(), end: this.#end, free: this.#free.map((f) => f.slice()) };
  }

  restore(image: HandleHeapImage): void {
    this.#words = image.words;
    this.#end = image.end;
    this.#free = image.free.map((places) => places.slice());
  }

  #extend(size: number): number {
    const at = this.#end;
    this.#end += size;
    if (this.#end > this.#words.length) {
      const grown = new Int32Array(Math.ceil(this.#end * 1.125) + SMALLEST);
      grown.set(this.#words);
      this.#words = grown;
    }
    return at;
  }
}

export function hashHandle(type: number, words: Int32Array, length: number): number {
  return hashWords(words, 0, wordsFor(length), type);
}

function hashWords(words: Int32Array, from: number, count: number, seed: number): number {
  let h = seed;
  for (let i = from; i < from + count; i++) {
    h = Math.imul(h ^ (words[i] ?? 0), 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0x85ebca6b);
  return h ^ (h >>> 13);
}
