/** The report for a terminal of 80 columns. Pure. */

import type { CheckedMount, CheckReport, Finding } from './report';
import { PROGRAMS } from './report';
import { findingTitle, hostRows, LEVEL_WORDS, mountRows, mountText, tracesText } from './words';

const WIDTH = 80;
const LABEL = 13;

export function reportText(report: CheckReport): string {
  const { directory, verdict, recommended, findings, mounts, host, notVerified } = report;
  return [
    ...wrapped(`${LEVEL_WORDS[verdict.level]}: ${verdict.text}`, '', ''),
    '',
    'How to share it',
    ...recommended.flatMap(({ option, reason, programs }) => [
      `  ${option}${programs.length === PROGRAMS.length ? '' : `   (${programs.join()})`}`,
      ...wrapped(reason, '      ', '      '),
    ]),
    ...PROGRAMS.flatMap((program) => ['', ...command(report.commands[program])]),
    '',
    ...findings.flatMap(findingLines),
    ...mounts.flatMap(mountLines),
    'This host',
    ...hostRows(host).flatMap(row),
    ...(notVerified.length === 0
      ? []
      : ['', 'Not verified', ...notVerified.flatMap((text) => wrapped(text, '  ', '  '))]),
    '',
    ...wrapped(`Checked ${directory} at ${report.time}. ${tracesText(report)}`, '', ''),
  ].join('\n');
}

function mountLines(mount: CheckedMount): string[] {
  return [
    mount.path,
    ...wrapped(mountText(mount), '  ', '  '),
    ...row([LEVEL_WORDS[mount.verdict.level], mount.verdict.text]),
    ...(mount.reach.state === 'reached' ? mountRows(mount).flatMap(row) : []),
    '',
    ...mount.findings.flatMap(findingLines),
  ];
}

function findingLines(finding: Finding): string[] {
  return [
    ...wrapped(findingTitle(finding), '  · ', '    '),
    ...wrapped(`${finding.text} ${finding.advice}`, '    ', '    '),
    '',
  ];
}

function row([label, text]: readonly [string, string]): string[] {
  return wrapped(text, `  ${label.padEnd(LABEL)}`, ' '.repeat(LABEL + 2));
}

/** A command, continued over lines as a shell takes it. */
function command(words: readonly string[]): string[] {
  const lines = filled(words, '  ', '    ', WIDTH - 2);
  return lines.map((line, index) => (index < lines.length - 1 ? `${line} \\` : line));
}

function wrapped(text: string, first: string, others: string): string[] {
  return filled(text.split(' '), first, others, WIDTH);
}

/** Lines of at most `width`; a longer word stands alone. */
function filled(words: readonly string[], first: string, others: string, width: number): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of words) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = others;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
