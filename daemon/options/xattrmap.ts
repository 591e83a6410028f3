/**
 * --xattrmap: rules of the form `:type:scope:key:prepend:` or `:map:key:prepend:`, each with a
 * separator of its own, with or without white space between them (virtiofsd's
 * doc/xattr-mapping.md).
 */

import type { XattrMap, XattrRule } from '../passthrough/xattrNames';

const TYPES = ['prefix', 'ok', 'bad', 'unsupported'] as const;
const SCOPES = ['all', 'client', 'server'] as const;

type Scope = (typeof SCOPES)[number];

function rule(type: XattrRule['type'], scope: Scope, key: string, prepend: string): XattrRule {
  const encoder = new TextEncoder();
  return {
    type,
    client: scope !== 'server',
    server: scope !== 'client',
    key: encoder.encode(key),
    prepend: encoder.encode(prepend),
  };
}

/** What `map` stands for: the guest's names get a prefix, and nothing else is reachable. */
function expanded(key: string, prepend: string): XattrRule[] {
  const prefix = rule('prefix', 'all', key, prepend);
  if (key === '') return [prefix, rule('bad', 'all', '', '')];
  return [prefix, rule('bad', 'all', prepend, key), rule('ok', 'all', '', '')];
}

/**
 * @returns the rules, `map` replaced by what it stands for
 * @throws Error that names the rule
 */
export function parseXattrmap(text: string): XattrMap {
  const rules: XattrRule[] = [];
  let rest = text.trim();
  for (let number = 1; rest !== ''; number++) {
    const field = () => {
      const end = rest.indexOf(separator);
      if (end < 0) throw new Error(`Rule ${number} does not end with its separator ${separator}.`);
      const value = rest.slice(0, end);
      rest = rest.slice(end + separator.length);
      return value;
    };
    const separator = String.fromCodePoint(rest.codePointAt(0) ?? 0);
    rest = rest.slice(separator.length);
    const type = field();
    if (type === 'map') {
      rules.push(...expanded(field(), field()));
      if (rest !== '') throw new Error(`Rule ${number} is "map", which must be the last one.`);
    } else {
      rules.push(
        rule(
          oneOf(TYPES, type, `Rule ${number}: the type`),
          oneOf(SCOPES, field(), `Rule ${number}: the scope`),
          field(),
          field(),
        ),
      );
    }
    rest = rest.trimStart();
  }
  if (rules.length === 0) throw new Error('There are no rules.');
  // virtiofsd takes such a map and ends at the first name that no rule is for.
  const total =
    rules.some(({ client, key }) => client && key.length === 0) &&
    rules.some(({ server, prepend }) => server && prepend.length === 0);
  if (!total) {
    throw new Error('Not every name has a rule: end with :ok:all::: or :bad:all:::.');
  }
  return rules;
}

function oneOf<T extends string>(known: readonly T[], text: string, what: string): T {
  const found = known.find((value) => value === text);
  if (found === undefined) throw new Error(`${what} "${text}" is none of ${known.join(', ')}.`);
  return found;
}
