/** An explanation for people, in 80 columns. */

import type { CauseJson, RuleAnswerJson, TraceJson, Verdict, WhyJson } from './protocol/why';

const COLUMNS = 80;

const MARKS: { readonly [V in Verdict]: string } = {
  right: ' ',
  new_node: ' ',
  second_node: '~',
  wrong_file: '!',
  unknown: '?',
};

export function whyText({ title, traces, now, cause, advice, reproduce }: WhyJson): string {
  const parts = [
    printable(title),
    ...traces.map((trace) => traceText(trace, trace.title === title)),
    ...(now === null ? [] : [wrap(`Now: ${now}`, '')]),
    ...(cause === null ? [] : [causeText(cause)]),
    adviceText(advice),
    ['See it yourself:', ...reproduce.split('\n').map((line) => `  ${line}`)].join('\n'),
  ];
  return parts.join('\n\n');
}

function traceText({ seq, time, title, steps, rules, unknown }: TraceJson, known: boolean): string {
  const head = `event ${seq}, ${time}`;
  return [
    known ? `${head}:` : `${printable(title)} (${head}):`,
    ...steps.map((step, index) => wrap(`${index + 1}. ${step}`, '     ', '  ')),
    ...rulesText(rules),
    ...(unknown === null ? [] : [wrap(unknown, '  ')]),
  ].join('\n');
}

function rulesText(rules: readonly RuleAnswerJson[]): string[] {
  const [first] = rules;
  if (first === undefined) return [];
  const allWell = rules.every(
    ({ verdict, nodeid }) => MARKS[verdict] === ' ' && nodeid === first.nodeid,
  );
  if (allWell) {
    const answer = first.nodeid === null ? 'a new node' : `node ${first.nodeid}`;
    return ['', `Every lookup rule answers the same: ${answer}.`];
  }
  return ['', 'What each lookup rule answers (> the one in force):', ...rules.map(ruleText)];
}

function adviceText(advice: readonly string[]): string {
  const [only, ...others] = advice;
  if (only !== undefined && others.length === 0) return wrap(`What to do: ${only}`, '  ', '');
  return ['What to do:', ...advice.map((line) => wrap(line, '    ', '  - '))].join('\n');
}

function ruleText({ rule, current, verdict, says }: RuleAnswerJson): string {
  const loud = verdict === 'wrong_file' ? `WRONG FILE: ${says}` : says;
  return wrap(loud, ' '.repeat(20), `${current ? '>' : ' '} ${MARKS[verdict]} ${rule.padEnd(15)} `);
}

function causeText({ errno, kind, sentence, evidence }: CauseJson): string {
  return [
    wrap(`${errno} (${kind.replaceAll('_', ' ')}): ${sentence}`, '  ', ''),
    ...evidence.map((line) => wrap(line, '    ', '  - ')),
  ].join('\n');
}

/** @param indent before every line but the first, which has `first` */
function wrap(text: string, indent: string, first = indent): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of printable(text).split(' ')) {
    if (!empty && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line].join('\n');
}

/** A name may hold what would drive the terminal. */
function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}]/gu,
    (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
