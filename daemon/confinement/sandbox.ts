/** The last steps into confinement, from within the process that will serve. */

import type { Addon, SandboxDescriptors } from '../../native/index';
import type { SeccompAction } from '../options/confinementOptions';
import { confinementError } from './failure';
import { systemCallFilter } from './systemCallFilter';

/**
 * Makes the share the root of all threads of this process. What has not been loaded before is out of
 * reach afterwards.
 *
 * @param usher the descriptor of that name (`confinedProgram`)
 * @throws Error that says what the system refused, and what to do
 */
export function enterSandbox(native: Addon, usher: number): SandboxDescriptors {
  const entered = native.enterSandbox(usher);
  if ('errno' in entered) throw confinementError(entered, process.geteuid?.() === 0);
  return entered;
}

/**
 * Puts all threads under the filter.
 *
 * @throws Error when there is none for this machine, or the kernel takes none
 */
export function limitSystemCalls(native: Addon, action: SeccompAction): void {
  if (action === 'none') return;
  const filter = systemCallFilter(action, process.arch);
  const result = native.loadSystemCallFilter(filter, action === 'trap');
  if (result < 0) {
    throw new Error(
      `The system calls cannot be limited (errno ${-result}): does the kernel have seccomp? ` +
        'Use --seccomp=none.',
    );
  }
}
