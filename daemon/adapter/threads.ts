/**
 * Held requests as threads. One that was told to go on to its next decision stays a thread that
 * runs, so that it does not come and go with every step; while there is none, one thread stands for
 * all requests.
 */

import type { FactsJson, StoppedJson } from '../protocol/debug';
import { threadName } from './words';

/** The thread that stands for all requests; requests have their number and one more. */
export const ALL_REQUESTS = 1;

export function threadOf(request: number): number {
  return request + 1;
}

interface Held {
  readonly stop: StoppedJson;
  readonly running: boolean;
}

export class Threads {
  readonly #requests = new Map<number, Held>();

  /** @param say a thread has begun or is over */
  constructor(private readonly say: (reason: 'started' | 'exited', thread: number) => void) {}

  get list(): readonly { readonly id: number; readonly name: string }[] {
    if (this.#requests.size === 0) return [{ id: ALL_REQUESTS, name: 'requests' }];
    return [...this.#requests].map(([request, { stop }]) => ({
      id: threadOf(request),
      name: threadName(stop),
    }));
  }

  /** The stop of a thread, or of the one stopped last. @returns null while it runs */
  stopOf(thread: number | null): StoppedJson | null {
    if (thread === null) return [...this.#requests.values()].filter(isStopped).at(-1)?.stop ?? null;
    const held = this.#requests.get(thread - 1);
    return held === undefined || held.running ? null : held.stop;
  }

  stopped(stop: StoppedJson): void {
    const isNew = !this.#requests.has(stop.request);
    if (isNew && this.#requests.size === 0) this.say('exited', ALL_REQUESTS);
    // A step into another request: the one that was stepped from may never stop again.
    for (const [request, held] of this.#requests) {
      if (held.running && request !== stop.request && isNew) this.#drop(request);
    }
    this.#requests.delete(stop.request);
    this.#requests.set(stop.request, { stop, running: false });
    if (isNew) this.say('started', threadOf(stop.request));
  }

  /** @param stopsAgain it was told to go on to a further decision, and has one */
  resumed(request: number, stopsAgain: boolean): void {
    const held = this.#requests.get(request);
    if (held === undefined) return;
    if (stopsAgain) this.#requests.set(request, { stop: held.stop, running: true });
    else {
      this.#drop(request);
      if (this.#requests.size === 0) this.say('started', ALL_REQUESTS);
    }
  }

  clear(): void {
    for (const request of [...this.#requests.keys()]) this.resumed(request, false);
  }

  get someStopped(): boolean {
    return [...this.#requests.values()].some(isStopped);
  }

  #drop(request: number): void {
    this.#requests.delete(request);
    this.say('exited', threadOf(request));
  }
}

function isStopped({ running }: Held): boolean {
  return !running;
}

/** Whether a request that steps from here passes another decision. */
export function hasNext(
  { point, facts, op }: Pick<StoppedJson, 'op' | 'point'> & { facts: Pick<FactsJson, 'forgets'> },
  how: 'over' | 'into' | 'out',
): boolean {
  if (point === 'reply') return false;
  // Others come to their reply; these have none.
  if (op !== 'FORGET' && op !== 'BATCH_FORGET') return true;
  if (how === 'out' || point === 'keys_removed') return false;
  return point !== 'counted' || facts.forgets?.left === '0';
}
