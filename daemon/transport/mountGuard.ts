/**
 * Cleans up after a daemon that died without unmounting (kill -9): a mount whose daemon is gone
 * answers ENOTCONN to everybody until somebody unmounts it.
 *
 * A small shell waits on a pipe that the daemon holds. The word "bye" ends it; the pipe's end
 * without that word means that the daemon died. It unmounts only if the mount that it was made for
 * is still there (same mount id and device), never a later one on the same place.
 */

import { spawn } from 'node:child_process';
import type { MountEntry } from './mountTable';

export interface MountGuard {
  readonly pid: number;
  /** The mount is gone cleanly: the guard goes, too. Resolves when it is gone. */
  dismiss(): Promise<void>;
}

// $1 mount id, $2 device, $3 mount point as mountinfo writes it, $4 mount point, $5... the command.
// trap: a terminal's Ctrl-C must not end the guard before the daemon.
const SCRIPT = `
trap '' INT HUP TERM
read -r word
[ "$word" = bye ] && exit 0
id=$1 device=$2 escaped=$3
shift 3
while read -r a b c d e rest; do
  if [ "$a" = "$id" ] && [ "$c" = "$device" ] && [ "$e" = "$escaped" ]; then exec "$@"; fi
done < /proc/self/mountinfo
`;

/**
 * @param command the lazy unmount, as a program and its arguments
 * @throws nothing: a guard that cannot be started is reported to `log`
 */
export function guardMount(
  mount: MountEntry,
  command: readonly string[],
  log: (text: string) => void,
): MountGuard {
  const child = spawn(
    'sh',
    ['-c', SCRIPT, 'mount-guard', String(mount.id), mount.device, mount.escapedPoint, ...command],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', (error) => {
      log(`The mount is not guarded against a crash of the daemon: ${error.message}.`);
      resolve();
    });
  });
  // The guard is gone already when somebody killed it: nothing to say goodbye to.
  child.stdin.on('error', () => undefined);
  child.unref();
  return {
    pid: child.pid ?? 0,
    dismiss() {
      // From now on the daemon waits for it.
      child.ref();
      child.stdin.end('bye\n');
      return ended;
    },
  };
}
