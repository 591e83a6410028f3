/** What the person who starts the daemon is told when it cannot be confined. */

import { getSystemErrorName } from 'node:util';
import type { ConfinementFailure } from '../../native/index';

const EPERM = 1;
const EACCES = 13;
const ENOSPC = 28;

const INSTEAD = 'Use --sandbox=none where the machine is confined by other means.';

/** @param root whether root started the daemon */
export function confinementError(failure: ConfinementFailure, root: boolean): Error {
  const { step, errno } = failure;
  const code = getSystemErrorName(-errno);
  const said = `The daemon cannot be confined: ${step} failed (${code}).`;
  return new Error([said, advice(step, errno, root), INSTEAD].filter(Boolean).join(' '));
}

function advice(step: string, errno: number, root: boolean): string {
  const denied = errno === EPERM || errno === EACCES;
  if (step === 'clone' && errno === ENOSPC) {
    return 'No more namespaces are allowed: see /proc/sys/user/max_user_namespaces and its neighbours.';
  }
  if (step === 'clone' && denied) {
    return root
      ? 'New namespaces need CAP_SYS_ADMIN, which containers do not have by default.'
      : 'This system lets ordinary users make no user namespaces: see the sysctls ' +
          'user.max_user_namespaces, kernel.unprivileged_userns_clone and ' +
          'kernel.apparmor_restrict_unprivileged_userns; containers refuse them by a filter.';
  }
  if (step === 'mount /proc' && denied) {
    return 'In a container a new /proc is only allowed where no part of the old one is covered.';
  }
  if (/slave|bind|pivot_root|detach|mount/.test(step) && denied) {
    return root
      ? 'Mounting needs CAP_SYS_ADMIN, and a security module may refuse it (AppArmor, SELinux).'
      : 'A security module refuses mounts in user namespaces (AppArmor: ' +
          'kernel.apparmor_restrict_unprivileged_userns).';
  }
  if (step === 'chroot' && denied) return 'It needs CAP_SYS_CHROOT.';
  if (step === 'capability bounds' && denied) {
    return 'Giving capabilities up needs CAP_SETPCAP.';
  }
  if (/capabilities$/.test(step) && denied) {
    return 'One that --modcaps adds is not there to be given.';
  }
  if (step === 'execve' && denied) {
    return 'The user of the namespace must be able to read and execute the programs of the daemon.';
  }
  return '';
}
