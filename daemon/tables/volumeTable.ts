/**
 * The (st_dev, mount id) pairs in play, numbered. A share has few of them and every entry has one,
 * so an entry keeps the number.
 */

import type { Device } from './identity';

export interface VolumeKey {
  readonly devMajor: number;
  readonly devMinor: number;
  readonly mntId: number;
}

export class VolumeTable {
  readonly #keys: VolumeKey[] = [];
  readonly #numbers = new Map<string, number>();
  /** The other volumes with the same device: bind mounts of one file system. */
  readonly #siblings: number[][] = [];
  /** Neighbouring lookups are mostly on one volume. */
  #last = -1;

  /** The number of a volume, given on first sight. */
  of(key: VolumeKey): number {
    if (this.#last !== -1 && this.#is(this.#last, key)) return this.#last;
    const name = nameOf(key.devMajor, key.devMinor, key.mntId);
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#keys.length;
      this.#relate(number, key);
      this.#keys.push({ devMajor: key.devMajor, devMinor: key.devMinor, mntId: key.mntId });
      this.#numbers.set(name, number);
    }
    this.#last = number;
    return number;
  }

  siblings(number: number): readonly number[] {
    return this.#siblings[number] ?? [];
  }

  /** The number of a volume already seen, or -1. */
  find(devMajor: number, devMinor: number, mntId: number): number {
    return this.#numbers.get(nameOf(devMajor, devMinor, mntId)) ?? -1;
  }

  mntId(number: number): number {
    return this.#keys[number]?.mntId ?? 0;
  }

  device(number: number): Device {
    const key = this.#keys[number];
    return { major: key?.devMajor ?? 0, minor: key?.devMinor ?? 0 };
  }

  get keys(): readonly VolumeKey[] {
    return this.#keys;
  }

  /** Takes over the numbering of another table. */
  restore(keys: readonly VolumeKey[]): void {
    this.#keys.length = 0;
    this.#siblings.length = 0;
    this.#numbers.clear();
    this.#last = -1;
    for (const key of keys) this.of(key);
  }

  #relate(number: number, { devMajor, devMinor }: VolumeKey): void {
    const related: number[] = [];
    this.#keys.forEach((other, index) => {
      if (other.devMajor !== devMajor || other.devMinor !== devMinor) return;
      related.push(index);
      this.#siblings[index]?.push(number);
    });
    this.#siblings.push(related);
  }

  #is(number: number, key: VolumeKey): boolean {
    const known = this.#keys[number];
    return (
      known !== undefined &&
      known.mntId === key.mntId &&
      known.devMinor === key.devMinor &&
      known.devMajor === key.devMajor
    );
  }
}

function nameOf(devMajor: number, devMinor: number, mntId: number): string {
  return `${devMajor}:${devMinor}/${mntId}`;
}
