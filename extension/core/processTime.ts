import { readFile } from 'node:fs/promises';

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)). Together
 * with the pid it names one process for ever, while a pid alone is recycled.
 *
 * @returns undefined when there is no such process, or it is dead and only waits to be reaped
 */
export async function processStartTime(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    // ENOENT or ESRCH: gone. Nothing else is possible for a world-readable file.
    return undefined;
  }
  // The command's name stands in parentheses and may itself hold spaces and parentheses.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : rest[18];
}
