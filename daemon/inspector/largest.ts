/** The largest few of many, without sorting the many: a heap that never grows beyond the few. */

/**
 * @param sizeOf what they are compared by; those of size 0 are left out
 * @returns at most `most`, the largest first
 */
export function largest<T>(items: Iterable<T>, most: number, sizeOf: (item: T) => number): T[] {
  const heap: { readonly item: T; readonly size: number }[] = [];
  const sizeAt = (index: number) => heap[index]?.size ?? Infinity;
  const swap = (a: number, b: number) => {
    const [itemA, itemB] = [heap[a], heap[b]];
    if (itemA === undefined || itemB === undefined) return;
    heap[a] = itemB;
    heap[b] = itemA;
  };
  const rise = (from: number) => {
    for (let at = from; at > 0;) {
      const above = (at - 1) >> 1;
      if (sizeAt(above) <= sizeAt(at)) return;
      swap(at, above);
      at = above;
    }
  };
  const sink = () => {
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      const least = sizeAt(left + 1) < sizeAt(left) ? left + 1 : left;
      if (sizeAt(least) >= sizeAt(at)) return;
      swap(at, least);
      at = least;
    }
  };
  for (const item of items) {
    const size = sizeOf(item);
    if (size <= 0) continue;
    if (heap.length < most) {
      heap.push({ item, size });
      rise(heap.length - 1);
    } else if (size > sizeAt(0)) {
      heap[0] = { item, size };
      sink();
    }
  }
  return heap.sort((a, b) => b.size - a.size).map(({ item }) => item);
}
