/** What the fuzzer's process hands to each kind of session. */

import { readdirSync } from 'node:fs';
import type { Addon } from '../../native/index';
import type { Fuzzing } from './native/index';

/** Something that must not happen did. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

export interface Surroundings {
  /** The addon under test, built with sanitizers. */
  readonly native: Addon;
  readonly fuzzing: Fuzzing;
  /** An empty directory, for mounts and sockets. */
  readonly folder: string;
  /** The daemon's own program, which loads the same addon. */
  readonly program: string;
  /** To be called before each input, so that the parent knows where a crash happened. */
  readonly count: () => void;
  /** Describes the inputs, when a session is repeated; else null. */
  readonly tell: ((text: string) => void) | null;
}

/**
 * Runs one session: `inputs` inputs that follow from `seed` alone.
 *
 * @throws Finding
 */
export type Session = (around: Surroundings, seed: number, inputs: number) => void | Promise<void>;

/** @throws Finding with the text when the condition does not hold */
export function must(condition: boolean, text: () => string): void {
  if (!condition) throw new Finding(text());
}

/** Runs the steps in order, all of them, and then throws the first error of any. */
export function allOf(...steps: (() => void)[]): void {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** How many descriptors this process has open, and the one that looks. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
