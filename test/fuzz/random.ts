/** Numbers without pattern that are the same each time: xoshiro128** by Blackman and Vigna. */

/** Values at which lengths, sizes and flags change their meaning. */
const EDGES: readonly number[] = [
  0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 39, 40, 41, 63, 64, 79, 80, 88, 127, 128, 255,
  256, 257, 511, 512, 1023, 1024, 4095, 4096, 4097, 16384, 32767, 32768, 65535, 65536, 0xfffff,
  0x100000, 0x100001, 0x101000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xfffffffe, 0xffffffff,
];

export class Random {
  readonly #s = new Uint32Array(4);

  constructor(seed: number) {
    // splitmix32 spreads the seed over the state.
    let z = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let t = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      t = Math.imul(t ^ (t >>> 13), 0xc2b2ae35);
      this.#s[i] = t ^ (t >>> 16);
    }
  }

  u32(): number {
    const s = this.#s;
    const s1 = s[1] ?? 0;
    const x = Math.imul(s1, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const s2 = (s[2] ?? 0) ^ (s[0] ?? 0);
    const s3 = (s[3] ?? 0) ^ s1;
    s[1] = s1 ^ s2;
    s[0] = (s[0] ?? 0) ^ s3;
    s[2] = s2 ^ (s1 << 9);
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /** 0 … limit - 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.u32() % times === 0;
  }

  pick<T>(choices: readonly T[]): T {
    const chosen = choices[this.below(choices.length)];
    if (chosen === undefined) throw new RangeError('There is nothing to pick from.');
    return chosen;
  }

  /** A 32-bit word that is likely to be treated apart. */
  edge(): number {
    const choice = this.below(8);
    if (choice < 5) return this.pick(EDGES);
    if (choice < 7) return this.below(64);
    return this.u32();
  }
}
