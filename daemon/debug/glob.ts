/**
 * Globs over paths: `*` and `?` and `[…]` within a component, `**` for any number of components.
 * A glob without a slash is compared with the last component alone.
 */

/** One character of a component's pattern. */
type Token = { readonly has: (character: string) => boolean } | 'star';

export interface Glob {
  matches(path: string): boolean;
  /** The last component, when it has no wildcards: a cheap first look. */
  readonly lastName: string | null;
}

/** @throws Error with a sentence when the pattern cannot be read */
export function compileGlob(pattern: string): Glob {
  const wanted = pattern.replace(/^\/+/, '');
  if (wanted === '') throw new Error('The path pattern is empty.');
  const components = wanted.split('/');
  const last = components.at(-1) ?? '';
  const lastName = /[*?[\\]/.test(last) ? null : last;
  const parts = components.map((component) =>
    component === '**' ? ('star' as const) : componentTest(component),
  );
  if (components.length === 1 && parts[0] !== 'star') {
    const test = parts[0];
    return {
      lastName,
      matches: (path) => test?.(path.slice(path.lastIndexOf('/') + 1)) === true,
    };
  }
  return {
    lastName,
    matches: (path) =>
      matchSequence(parts, path === '' ? [] : path.split('/'), (test, component) =>
        test(component),
      ),
  };
}

function componentTest(pattern: string): (component: string) => boolean {
  const tokens = tokensOf(Array.from(pattern));
  return (component) => matchSequence(tokens, Array.from(component), (token, c) => token.has(c));
}

function tokensOf(characters: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < characters.length; i++) {
    const c = characters[i] ?? '';
    if (c === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (c === '?') tokens.push({ has: () => true });
    else if (c === '[') {
      const end = characters.indexOf(']', i + 2);
      if (end === -1) throw new Error('The path pattern has a [ without its ].');
      tokens.push(classOf(characters.slice(i + 1, end)));
      i = end;
    } else {
      // A backslash takes the meaning from what follows it.
      const literal = c === '\\' ? (characters[++i] ?? '\\') : c;
      tokens.push({ has: (other) => other === literal });
    }
  }
  return tokens;
}

function classOf(characters: readonly string[]): Token {
  const negated = characters[0] === '!' || characters[0] === '^';
  const members = negated ? characters.slice(1) : characters;
  const ranges: [string, string][] = [];
  for (let i = 0; i < members.length; i++) {
    const from = members[i] ?? '';
    if (members[i + 1] === '-' && i + 2 < members.length) {
      ranges.push([from, members[i + 2] ?? from]);
      i += 2;
    } else ranges.push([from, from]);
  }
  return { has: (c) => ranges.some(([from, to]) => c >= from && c <= to) !== negated };
}

/**
 * Wildcards by going back to the last star alone: never worse than pattern times text, whatever
 * the pattern.
 */
function matchSequence<P, T>(
  pattern: readonly (P | 'star')[],
  items: readonly T[],
  matches: (part: P, item: T) => boolean,
): boolean {
  let p = 0;
  let i = 0;
  let starAt = -1;
  let starItem = 0;
  while (i < items.length) {
    const part = pattern[p];
    const item = items[i] as T;
    if (part === 'star') {
      starAt = p++;
      starItem = i;
    } else if (p < pattern.length && matches(part as P, item)) {
      p++;
      i++;
    } else if (starAt !== -1) {
      p = starAt + 1;
      i = ++starItem;
    } else return false;
  }
  while (pattern[p] === 'star') p++;
  return p === pattern.length;
}
