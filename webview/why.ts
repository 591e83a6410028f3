/** The «Why?» part of the details: how something was decided, and what other rules would answer. */

import type {
  CauseJson,
  RuleAnswerJson,
  TraceJson,
  Verdict,
  WhyJson,
} from '../daemon/protocol/why';
import { el } from './dom';
import { errnoText, HITS, timeText } from './words';

/** In words and a sign; colour comes on top. */
const VERDICTS: { readonly [V in Verdict]: { readonly sign: string; readonly name: string } } = {
  right: { sign: '✓', name: 'right' },
  new_node: { sign: '✓', name: 'right' },
  second_node: { sign: '≈', name: 'second node' },
  wrong_file: { sign: '✕', name: 'wrong file' },
  unknown: { sign: '?', name: 'not known' },
};

export function whySections(why: WhyJson): HTMLElement[] {
  const { traces, now, cause, advice, reproduce } = why;
  return [
    ...(cause === null ? [] : [causePart(cause)]),
    ...traces.map(tracePart),
    ...(now === null ? [] : [el('p', { class: 'why-now', text: now })]),
    el(
      'div',
      { class: 'why-advice' },
      el('h4', { text: 'What to do' }),
      ...advice.map((line) => prose(line)),
    ),
    el(
      'details',
      { class: 'why-shell', data: { testid: 'why-shell' } },
      el('summary', { text: 'See it yourself' }),
      el('pre', { text: reproduce, attributes: { tabindex: '0', 'aria-label': 'Shell commands' } }),
      el('button', {
        class: 'reveal',
        text: 'Copy the commands',
        data: { copy: reproduce, what: 'the commands' },
        attributes: { type: 'button' },
      }),
    ),
  ];
}

/** Advice names options in backticks. */
export function prose(text: string): HTMLElement {
  return el(
    'p',
    { class: 'advice' },
    ...text.split('`').map((part, index) => (index % 2 === 1 ? el('code', { text: part }) : part)),
  );
}

function causePart({ errno, kind, sentence, evidence }: CauseJson): HTMLElement {
  return el(
    'div',
    { class: 'why-cause', data: { cause: kind } },
    el('h4', { text: `${errnoText(errno)}: ${kind.replaceAll('_', ' ')}` }),
    el('p', { text: sentence }),
    el('ul', { class: 'why-evidence' }, ...evidence.map((line) => el('li', { text: line }))),
  );
}

function tracePart({ seq, time, title, steps, rules, unknown }: TraceJson): HTMLElement {
  return el(
    'div',
    { class: 'why-trace', data: { seq } },
    el(
      'h4',
      {},
      title,
      el('span', { class: 'muted', text: ` · event ${seq}, ${timeText(time)}`, title: time }),
    ),
    el('ol', { class: 'why-steps' }, ...steps.map((step) => el('li', { text: step }))),
    ...(rules.length === 0 ? [] : [rulesPart(rules)]),
    ...(unknown === null ? [] : [el('p', { class: 'muted', text: unknown })]),
  );
}

/** Where all rules agree and none of them is wrong, a sentence says so. */
function rulesPart(rules: readonly RuleAnswerJson[]): HTMLElement {
  const [first] = rules;
  const agreed = rules.every(
    ({ verdict, nodeid }) => VERDICTS[verdict].sign === '✓' && nodeid === first?.nodeid,
  );
  if (agreed && first !== undefined) {
    const answer = first.nodeid === null ? 'a new node' : `node ${first.nodeid}`;
    return el('p', { class: 'muted', text: `Every lookup rule answers the same: ${answer}.` });
  }
  return el(
    'table',
    { class: 'why-rules', data: { testid: 'why-rules' } },
    el('caption', { text: 'What each lookup rule answers' }),
    el('thead', {}, el('tr', {}, ...['Rule', 'Answer'].map((text) => heading(text, 'col')))),
    el('tbody', {}, ...rules.map(ruleRow)),
  );
}

function ruleRow({ rule, summary, current, verdict, hit, says }: RuleAnswerJson): HTMLElement {
  const name = heading(rule, 'row');
  name.title = summary;
  if (current) name.append(el('span', { class: 'muted', text: ' in force' }));
  const { sign, name: word } = VERDICTS[verdict];
  return el(
    'tr',
    { class: `verdict ${verdict}`, data: { rule, verdict } },
    name,
    el(
      'td',
      { title: hit === null ? '' : `${HITS[hit].name}: ${HITS[hit].means}` },
      el('span', { class: 'verdict-word', text: `${sign} ${word}` }),
      el('span', { text: says }),
    ),
  );
}

function heading(text: string, scope: 'col' | 'row'): HTMLElement {
  return el('th', { text, attributes: { scope } });
}
