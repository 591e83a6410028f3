/**
 * --translate-uid and --translate-gid: `type:from:to:count`, with any character that is no letter,
 * digit, - or _ instead of the colon.
 */

import type { IdRule, IdTranslation } from '../passthrough/idTranslation';
import { parseId } from './confinementOptions';

/** One option as it was given. */
interface Given {
  readonly text: string;
  readonly toHost?: IdRule;
  readonly toGuest?: IdRule;
}

/** How many ids of 32 bits there are. */
const IDS = 4294967296;

function rule(
  text: string,
  from: number,
  to: number | null,
  count: number,
  squash = false,
): IdRule {
  // The largest number means "no id" (chown(2)).
  const end = Math.max(from, to === null || squash ? 0 : to) + count;
  if (end >= IDS) throw new Error(`"${text}" goes beyond the largest id.`);
  return { from, to, count, squash };
}

function parse(text: string): Given {
  const match = /^([\p{L}\p{N}_-]*)([^\p{L}\p{N}_-])(.*)$/su.exec(text);
  if (match === null) throw new Error(`"${text}" is not of the form type:from:to:count.`);
  const [, type = '', separator = '', rest = ''] = match;
  const numbers = rest.split(separator).map(parseId);
  const wanted = type.toLowerCase() === 'forbid-guest' ? 2 : 3;
  const [a = 0, b = 0, c = 0] = numbers;
  if (numbers.length !== wanted) {
    throw new Error(`"${text}" has ${numbers.length} numbers instead of ${wanted}.`);
  }
  switch (type.toLowerCase()) {
    case 'guest':
      return { text, toHost: rule(text, a, b, c) };
    case 'host':
      return { text, toGuest: rule(text, a, b, c) };
    case 'squash-guest':
      return { text, toHost: rule(text, a, b, c, true) };
    case 'squash-host':
      return { text, toGuest: rule(text, a, b, c, true) };
    case 'map':
      return { text, toHost: rule(text, a, b, c), toGuest: rule(text, b, a, c) };
    case 'forbid-guest':
      return { text, toHost: rule(text, a, null, b) };
    default:
      throw new Error(
        `"${type}" is none of guest, host, squash-guest, squash-host, map, forbid-guest.`,
      );
  }
}

function overlap(a: IdRule, b: IdRule): boolean {
  return a.from < b.from + b.count && b.from < a.from + a.count;
}

function collect(given: readonly Given[], side: 'toHost' | 'toGuest'): IdRule[] {
  const rules: IdRule[] = [];
  for (const { text, [side]: added } of given) {
    if (added === undefined || added.count === 0) continue;
    if (rules.some((other) => overlap(other, added))) {
      throw new Error(`"${text}" overlaps with one before it.`);
    }
    rules.push(added);
  }
  return rules;
}

/**
 * @param texts as they were given
 * @throws Error that names the one that is wrong
 */
export function parseIdTranslation(texts: readonly string[]): IdTranslation {
  const given = texts.map(parse);
  return { toHost: collect(given, 'toHost'), toGuest: collect(given, 'toGuest') };
}
