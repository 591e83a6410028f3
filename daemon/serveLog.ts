/** Where `serve` says what happens: stderr or syslog. */

import { writeSync } from 'node:fs';
import type { Addon } from '../native/index';
import type { LogLevel } from './options/logLevel';
import { LOG_LEVELS } from './options/logLevel';
import type { Log } from './passthrough/options';

/** Severities of syslog(3), for the facility LOG_USER. */
const SYSLOG_PRIORITY = { error: 11, warn: 12, info: 14, debug: 15 } as const;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun'].concat([
  'Jul',
  'Aug',
  'Sep',
  'Oct',
  'Nov',
  'Dec',
]);

export interface Logging {
  readonly level: LogLevel;
  readonly syslog: boolean;
}

/** @param pid that the host knows the daemon by */
export function openLog({ level, syslog }: Logging, native: Addon, pid = process.pid): Log {
  return syslog ? systemLog(level, native, pid) : stderrLog(level);
}

/** One line an event on stderr, as daemons do; the extension reads the levels. */
export function stderrLog(most: LogLevel): Log {
  // Whoever read the log is gone (EPIPE). The guest's files do not depend on it.
  process.stderr.on('error', () => undefined);
  return upTo(most, (level, text) => process.stderr.write(`${level}: ${text}\n`));
}

/**
 * One message an event in the system's log; on stderr what cannot be said there.
 *
 * @param native to connect with, at once: later /dev/log may be out of sight
 * @param pid that the host knows the daemon by
 */
export function systemLog(most: LogLevel, native: Addon, pid: number): Log {
  const stderr = stderrLog(most);
  const socket = native.connectSyslog();
  if (socket < 0) {
    stderr('warn', `There is no syslog (errno ${-socket}): stderr is used instead.`);
    return stderr;
  }
  return upTo(most, (level, text) => {
    const head = `<${SYSLOG_PRIORITY[level]}>${timestamp(new Date())}`;
    try {
      writeSync(socket, `${head} virtiofsd-inspector[${pid}]: ${text}`);
    } catch {
      stderr(level, text);
    }
  });
}

/** The local time as RFC 3164 wants it. */
export function timestamp(time: Date): string {
  const day = String(time.getDate()).padStart(2);
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  return `${MONTHS[time.getMonth()] ?? ''} ${day} ${clock}`;
}

function upTo(most: LogLevel, write: Log): Log {
  const enough = LOG_LEVELS.indexOf(most);
  return (level, text) => {
    if (LOG_LEVELS.indexOf(level) <= enough) write(level, text.replaceAll('\n', ' '));
  };
}
