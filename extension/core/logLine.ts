import type { Log, LogLevel } from './log';

const LEVELS: Readonly<Record<string, LogLevel>> = {
  error: 'error',
  err: 'error',
  warning: 'warn',
  warn: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'trace',
};

/**
 * Puts one line of a daemon's output into the log, at the level that the line itself names
 * (`error: …`, `[warning] …`, `virtiofsd-inspector: …` for the last words of a failed command).
 *
 * @returns the level, undefined for an empty line
 */
export function logDaemonLine(log: Log, pid: number, line: string): LogLevel | undefined {
  // The token opens the daemon's tables to whoever reads the log.
  const text = line.trimEnd().replaceAll(/([?&#]token=)[^\s&]+/g, '$1…');
  if (text === '') return undefined;
  const [prefix = '', word = ''] = /^\W{0,2}([a-z]+)\W{1,2}\s+/i.exec(text) ?? [];
  const named = LEVELS[word.toLowerCase()];
  const level = named ?? (text.startsWith('virtiofsd-inspector: ') ? 'error' : 'info');
  // The channel shows the level by itself.
  log[level](`[${pid}] ${named === undefined ? text : text.slice(prefix.length)}`);
  return level;
}
