/**
 * The bytes of file handles, packed as 32-bit words: word 0 the type, then the bytes, the last
 * word padded with zeros, so that equal handles are equal words. A handle is known by the index of
 * its first word; its owner remembers the length in bytes.
 */

const SMALLEST = 256;

/** Words that a handle of this many bytes takes. */
function wordsFor(length: number): number {
  return 1 + ((length + 3) >> 2);
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

  put(type: number, words: Int32Array, length: number): number {
    const size = wordsFor(length);
    const at = this.#free[size]?.pop() ?? this.#extend(size);
    this.#words[at] = type;
    for (let i = 1; i < size; i++) this.#words[at + i] = words[i - 1] ?? 0;
    return at;
  }

  drop(at: number, length: number): void {
    const size = wordsFor(length);
    (this.#free[size] ??= []).push(at);
  }

  equals(at: number, type: number, words: Int32Array, length: number): boolean {
    if (this.#words[at] !== type) return false;
    const size = wordsFor(length);
    for (let i = 1; i < size; i++) if (this.#words[at + i] !== words[i - 1]) return false;
    return true;
  }

  type(at: number): number {
    return this.#words[at] ?? 0;
  }

  /** Copies the handle's bytes, as padded words, to the start of `out`. */
  copyTo(at: number, length: number, out: Int32Array, outAt: number): void {
    const size = wordsFor(length);
    for (let i = 1; i < size; i++) out[outAt + i - 1] = this.#words[at + i] ?? 0;
  }

  hash(at: number, length: number): number {
    return hashWords(this.#words, at + 1, wordsFor(length) - 1, this.type(at));
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
      const grown = new Int32Array(Math.ceil(this.#end * 1.25) + SMALLEST);
      grown.set(this.#words);
      this.#words = grown;
    }
    return at;
  }
}

export function hashHandle(type: number, words: Int32Array, length: number): number {
  return hashWords(words, 0, wordsFor(length) - 1, type);
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
