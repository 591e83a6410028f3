/** The report of a check as Markdown, for VS Code's preview. Pure. */

import type { CheckedMount, CheckReport, Finding } from '../../daemon/check/report';
import { PROGRAMS } from '../../daemon/check/report';
import {
  findingTitle,
  hostRows,
  LEVEL_WORDS,
  mountRows,
  mountText,
  tracesText,
} from '../../daemon/check/words';

export function checkMarkdown(report: CheckReport): string {
  const { directory, verdict, recommended, findings, mounts, host, notVerified } = report;
  return [
    `# Check of ${code(directory)}`,
    '',
    `**${LEVEL_WORDS[verdict.level]}.** ${prose(verdict.text)}`,
    '',
    '## How to share it',
    '',
    ...table(
      ['Option', 'Why'],
      recommended.map(({ option, reason, programs }) => [
        `${code(option)}${programs.length === PROGRAMS.length ? '' : ` (${programs.join()})`}`,
        prose(reason),
      ]),
    ),
    '',
    ...PROGRAMS.flatMap((program) => [
      fenced('sh', commandLines(report.commands[program]).join('\n')),
      '',
    ]),
    ...findings.flatMap(findingBlock),
    ...mounts.flatMap(mountSection),
    '## This host',
    '',
    ...table(
      ['', ''],
      hostRows(host).map(([label, text]) => [label, prose(text)]),
    ),
    '',
    ...(notVerified.length === 0
      ? []
      : ['## Not verified', '', ...notVerified.map((text) => `- ${prose(text)}`), '']),
    '---',
    '',
    `*Checked at ${report.time}. ${escaped(tracesText(report))}*`,
    '',
  ].join('\n');
}

function mountSection(mount: CheckedMount): string[] {
  const rows = mount.reach.state === 'reached' ? mountRows(mount) : [];
  return [
    `## ${code(mount.path)}`,
    '',
    `${prose(mountText(mount))}.`,
    '',
    `**${LEVEL_WORDS[mount.verdict.level]}.** ${prose(mount.verdict.text)}`,
    '',
    ...(rows.length === 0
      ? []
      : [
          ...table(
            ['', ''],
            rows.map(([label, text]) => [label, prose(text)]),
          ),
          '',
        ]),
    ...mount.findings.flatMap(findingBlock),
  ];
}

/** A quotation, so that the preview sets it apart. */
function findingBlock(finding: Finding): string[] {
  const [title = '', ...rest] = findingTitle(finding).split(': ');
  return [
    `> **${escaped(title)}** · ${prose(rest.join(': '))}`,
    '>',
    `> ${prose(finding.text)}`,
    '>',
    `> ${prose(finding.advice)}`,
    '',
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  // A bar in a cell is escaped wherever it stands, in code too (GFM, tables).
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

/** One option a line, continued as a shell takes it. */
function commandLines(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    if (word.startsWith('--') || lines.length === 0) lines.push(word);
    else lines.push(`${lines.pop() ?? ''} ${word}`);
  }
  return lines.map((line, index) => {
    const indented = index === 0 ? line : `  ${line}`;
    return index < lines.length - 1 ? `${indented} \\` : indented;
  });
}

/** Text with its options set as code. */
function prose(text: string): string {
  return text
    .split(/(--[a-z][a-z-]*(?:=\w+)?)/)
    .map((part, index) => (index % 2 === 1 ? code(part) : escaped(part)))
    .join('');
}

function escaped(text: string): string {
  return text.replace(/[\\`*_[\]<>#&~]/g, '\\$&');
}

/** A code span, of text that may have backticks. */
function code(text: string): string {
  const fence = '`'.repeat(longestRun(text) + 1);
  const pad = text.startsWith('`') || text.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${text}${pad}${fence}`;
}

function fenced(language: string, text: string): string {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1));
  return `${fence}${language}\n${text}\n${fence}`;
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}
