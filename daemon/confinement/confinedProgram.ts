/**
 * This very program once more, with fewer rights. It is executed anew, because threads that run
 * already keep their capabilities; what it is to do stands in a memory file that it inherits.
 */

import { closeSync, readFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import type { Addon, ConfinedProgram } from '../../native/index';

/** Its first argument. Those of the launcher follow, for whoever looks at a list of processes. */
export const CONFINED = 'confined';

/** Inherited descriptors begin here (`ConfinedProgram.descriptors`). */
const FIRST = 3;

/** What a program is told. `start` must be a value that structuredClone takes. */
export interface Inherited<Start> {
  readonly start: Start;
  /** By name, numbered as in the process at hand. A program whose root is to change has `usher`. */
  readonly descriptors: Readonly<Record<string, number>>;
}

export type Rights = Pick<ConfinedProgram, 'namespaces' | 'root' | 'sharedDir' | 'capabilities'>;

/** @throws Error when there is no memory for it */
export function confinedProgram<Start>(
  native: Addon,
  { start, descriptors }: Inherited<Start>,
  rights: Rights,
): ConfinedProgram {
  const names = Object.keys(descriptors);
  // The usher's socket comes last by itself.
  if (rights.root !== 'unchanged') names.push('usher');
  const places = names.map((name, index) => [name, FIRST + 1 + index] as const);
  const told = { start, descriptors: Object.fromEntries<number>(places) };
  const file = native.memoryFile(serialize(told satisfies Inherited<Start>));
  if (file < 0) throw new Error(`There is no memory for a memory file (errno ${-file}).`);
  const [, script = '', ...words] = process.argv;
  return {
    program: process.execPath,
    arguments: [process.execPath, ...process.execArgv, script, CONFINED, ...words],
    environment: environment(),
    descriptors: [file, ...Object.values(descriptors)],
    ...rights,
  };
}

/** Called once by a program that was started as `confinedProgram` says. */
export function inherited<Start>(): Inherited<Start> {
  try {
    const told = deserialize(readFileSync(FIRST)) as Inherited<Start>;
    closeSync(FIRST);
    return told;
  } catch (error) {
    const message = `"${CONFINED}" is for the daemon itself: start it with "serve".`;
    throw new Error(message, { cause: error });
  }
}

function environment(): string[] {
  const variables: NodeJS.ProcessEnv = {
    ...process.env,
    // A filter on system calls does not see what goes through a ring.
    UV_USE_IO_URING: '0',
    ...(process.versions['electron'] === undefined ? {} : { ELECTRON_RUN_AS_NODE: '1' }),
  };
  return Object.entries(variables).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
}
