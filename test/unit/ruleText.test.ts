/** The texts that a debugger steps through. */

import { describe, expect, it } from 'vitest';
import { ruleText } from '../../daemon/adapter/ruleText';
import { LOOKUP_RULE_NAMES } from '../../daemon/tables/lookupRule';
import { DECISIONS } from '../../daemon/tables/stops';

describe('the texts of the rules', () => {
  it.each(LOOKUP_RULE_NAMES)('%s has one line for each decision that it makes', (rule) => {
    const made = ruleText(rule);
    const { text, stops } = made;
    const decisions = stops.map(({ decision }) => decision);
    expect(new Set(decisions).size).toBe(decisions.length);
    expect(new Set(stops.map(({ line }) => line)).size).toBe(stops.length);
    const never = DECISIONS.filter((decision) => !decisions.includes(decision));
    const missing = {
      'handle-then-fd': ['fallback'],
      strict: ['fallback'],
      v2: ['fallback'],
      'ids-first': ['fallback', 'fallback_rejected'],
      'ids-only': ['by_handle', 'fallback', 'fallback_rejected'],
    };
    expect(never.sort()).toEqual([...missing[rule]].sort());
    const lines = text.split('\n');
    for (const { line } of stops) expect(lines[line - 1]).toMatch(/^ {4}\S|^ {8}\S|^ {12}\S/);
    expect(made.stopAt(1)?.decision).toBe('request');
    expect(made.stopAt(lines.length)).toBeUndefined();
  });

  it('asks the tables in the order of the rule', () => {
    const order = (rule: (typeof LOOKUP_RULE_NAMES)[number]) =>
      ruleText(rule)
        .stops.map(({ decision }) => decision)
        .filter((decision) => decision === 'by_handle' || decision === 'by_ids');
    expect(order('handle-then-fd')).toEqual(['by_handle', 'by_ids']);
    expect(order('ids-first')).toEqual(['by_ids', 'by_handle']);
  });
});
