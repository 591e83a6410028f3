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
  const text = line.trimEnd();
  if (text === '') return undefined;
  const word = /^\W{0,2}([a-z]+)\W{1,2}\s/i.exec(text)?.[1]?.toLowerCase() ?? '';
  const level =
    LEVELS[word] ?? (text.startsWith('virtiofsd-inspector: ') ? 'error' : ('info' as const));
  log[level](`[${pid}] ${text}`);
  return level;
}
