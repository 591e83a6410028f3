/** What the numbers mean that the gate works with. */

import type { Naming } from '../debug/spec';
import { OPERATION_NAMES, opcodesOf } from '../fuse/opcodes';
import { errnoName } from './errnoName';

export const NAMING: Naming = {
  errno: errnoName,
  operation: (opcode) => OPERATION_NAMES.get(opcode) ?? `opcode ${opcode}`,
  // A listing's names come with its lookups; a forget has a number only.
  hasPath: (opcode) => !WITHOUT_PATH.has(opcode),
};

const WITHOUT_PATH: ReadonlySet<number> = new Set(
  ['READDIRPLUS', 'FORGET', 'BATCH_FORGET', 'INIT', 'DESTROY', 'INTERRUPT'].flatMap(opcodesOf),
);
