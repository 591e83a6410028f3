/**
 * The conditions of breakpoints: a small language over what is known of a stopped request. It has
 * numbers, strings, comparisons and arithmetic, no calls and no loops, so that a condition ends.
 *
 *     op == "LOOKUP" && nlink > 1 && path =~ "src/**"
 *
 * A fact that is not known is null. What makes no sense (`"a" < 1`, `1 / 0`) is null, too, and null
 * is not true.
 */

import { FACT, hexOf, idsOf, textOf } from './facts';
import type { Glob } from './glob';
import { compileGlob } from './glob';
import type { Facts, Naming } from './spec';

export type Value = bigint | string | boolean | null;

export interface Expression {
  /** The groups of facts that it looks at (FACT). */
  readonly needs: number;
  evaluate(facts: Facts): Value;
}

const LONGEST = 500;
const DEEPEST = 40;

interface Variable {
  readonly needs: number;
  readonly read: (facts: Facts, naming: Naming) => Value;
  readonly help: string;
}

const big = (value: number | null | undefined): Value =>
  value === null || value === undefined ? null : BigInt(value);

/** What conditions can speak of. */
export const VARIABLES: Readonly<Record<string, Variable>> = {
  op: { needs: 0, read: ({ op }) => op, help: 'the FUSE operation' },
  point: { needs: 0, read: ({ point }) => point, help: 'the point of the request' },
  unique: { needs: 0, read: ({ unique }) => big(unique), help: 'FUSE unique' },
  node: { needs: 0, read: ({ node }) => big(node), help: 'the node id in the header' },
  uid: { needs: 0, read: ({ uid }) => big(uid), help: 'the caller’s user id' },
  gid: { needs: 0, read: ({ gid }) => big(gid), help: 'the caller’s group id' },
  pid: { needs: 0, read: ({ pid }) => big(pid), help: 'the caller’s process id' },
  size: { needs: 0, read: ({ size }) => big(size), help: 'bytes of READ and WRITE' },
  offset: { needs: 0, read: ({ offset }) => big(offset), help: 'offset of READ and WRITE' },
  fdsUsed: { needs: 0, read: ({ fds }) => big(fds.used), help: 'descriptors held for the guest' },
  fdsLimit: { needs: 0, read: ({ fds }) => big(fds.limit), help: 'descriptors it may have' },
  parent: { needs: FACT.name, read: ({ parent }) => big(parent), help: 'node id of the directory' },
  name: { needs: FACT.name, read: ({ name }) => textOf(name), help: 'the name at hand' },
  path: { needs: FACT.name, read: ({ path }) => textOf(path), help: 'below the shared directory' },
  newName: {
    needs: FACT.name,
    read: ({ newName }) => textOf(newName),
    help: 'RENAME’s second name',
  },
  lookup: { needs: FACT.name, read: ({ lookup }) => big(lookup), help: 'which lookup it is' },
  ino: {
    needs: FACT.candidate,
    read: ({ candidate }) => candidate?.ids.ino ?? null,
    help: 'st_ino found',
  },
  dev: {
    needs: FACT.candidate,
    read: ({ candidate }) =>
      candidate === null ? null : `${candidate.ids.dev.major}:${candidate.ids.dev.minor}`,
    help: 'st_dev found, as "major:minor"',
  },
  mntId: {
    needs: FACT.candidate,
    read: ({ candidate }) => big(candidate?.ids.mntId),
    help: 'mount id found',
  },
  ids: {
    needs: FACT.candidate,
    read: ({ candidate }) => (candidate === null ? null : idsOf(candidate.ids)),
    help: 'ids found, as "ino/major:minor/mount"',
  },
  mode: {
    needs: FACT.candidate,
    read: ({ candidate }) => big(candidate?.mode),
    help: 'st_mode found',
  },
  nlink: {
    needs: FACT.candidate,
    read: ({ candidate }) => big(candidate?.nlink),
    help: 'st_nlink found',
  },
  handle: {
    needs: FACT.handle,
    read: ({ candidate }) => (candidate?.handle == null ? null : hexOf(candidate.handle.bytes)),
    help: 'f_handle made, in hex',
  },
  handleErrno: {
    needs: FACT.handle,
    read: ({ candidate }, naming) =>
      candidate === null || candidate.handleErrno === 0
        ? null
        : naming.errno(candidate.handleErrno),
    help: 'why there is no handle',
  },
  byHandle: {
    needs: FACT.byHandle,
    read: ({ byHandle }) => big(byHandle?.node),
    help: 'what inodes_by_handle said',
  },
  byIds: {
    needs: FACT.byIds,
    read: ({ byIds }) => big(byIds?.node),
    help: 'what inodes_by_ids said',
  },
  hit: { needs: FACT.hit, read: ({ hit }) => hit, help: 'the hit kind' },
  answer: {
    needs: FACT.answer,
    read: ({ answer }) => big(answer),
    help: 'the node id that it leads to',
  },
  forgotten: {
    needs: FACT.forget,
    read: ({ forgets }) => big(forgets?.node),
    help: 'the node id that is forgotten',
  },
  count: {
    needs: FACT.forget,
    read: ({ forgets }) => big(forgets?.count),
    help: 'how many lookups',
  },
  left: {
    needs: FACT.forget,
    read: ({ forgets }) => big(forgets?.left),
    help: 'how many are left',
  },
  errno: {
    needs: FACT.errno,
    read: ({ errno }, naming) => (errno === null || errno === 0 ? null : naming.errno(errno)),
    help: 'what the guest is told instead of an answer',
  },
};

type Kind = 'number' | 'string' | 'word' | 'sign' | 'end';
interface Part {
  readonly kind: Kind;
  readonly text: string;
  readonly at: number;
}

type Evaluate = (facts: Facts) => Value;

/** @throws Error with a sentence that says what is wrong and where */
export function compileExpression(text: string, naming: Naming): Expression {
  if (text.length > LONGEST) throw new Error(`A condition has at most ${LONGEST} characters.`);
  const parser = new Parser(partsOf(text), naming);
  const evaluate = parser.whole();
  return { needs: parser.needs, evaluate };
}

/** What a value counts for where a condition is wanted. */
export function isTrue(value: Value): boolean {
  return value === true || (typeof value === 'bigint' && value !== 0n) || isText(value);
}

function isText(value: Value): boolean {
  return typeof value === 'string' && value !== '';
}

export function valueText(value: Value): string {
  return value === null ? 'null' : String(value);
}

/** A log point's text: `{expression}` is replaced by its value. @throws Error as above */
export function compileTemplate(
  template: string,
  naming: Naming,
): { readonly needs: number; readonly text: (facts: Facts) => string } {
  const pieces: (string | Expression)[] = [];
  let rest = template;
  for (;;) {
    const open = rest.indexOf('{');
    const close = rest.indexOf('}', open);
    if (open === -1) break;
    if (close === -1) throw new Error('The log message has a { without its }.');
    pieces.push(rest.slice(0, open), compileExpression(rest.slice(open + 1, close), naming));
    rest = rest.slice(close + 1);
  }
  pieces.push(rest);
  return {
    needs: pieces.reduce((sum, piece) => sum | (typeof piece === 'string' ? 0 : piece.needs), 0),
    text: (facts) =>
      pieces
        .map((piece) => (typeof piece === 'string' ? piece : valueText(piece.evaluate(facts))))
        .join(''),
  };
}

const PART =
  /\s*(?:(0[xX][0-9a-fA-F]+|[0-9]+)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([A-Za-z_][A-Za-z0-9_]*)|(==|!=|<=|>=|=~|&&|\|\||[-+*/%&|<>!()]))/y;

function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  const end = text.trimEnd().length;
  PART.lastIndex = 0;
  while (PART.lastIndex < end) {
    const at = PART.lastIndex;
    const found = PART.exec(text);
    if (found === null) {
      throw new Error(`The condition cannot be read at “${text.slice(at).trim().slice(0, 20)}”.`);
    }
    const [, number, string, word, sign] = found;
    if (number !== undefined) parts.push({ kind: 'number', text: number, at });
    else if (string !== undefined) parts.push({ kind: 'string', text: unquoted(string), at });
    else if (word !== undefined) parts.push({ kind: 'word', text: word, at });
    else parts.push({ kind: 'sign', text: sign ?? '', at });
  }
  parts.push({ kind: 'end', text: 'its end', at: end });
  return parts;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, '$1');
}

/** Operators from the weakest to the strongest; those of one level go from left to right. */
const LEVELS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', '=~'],
  ['|'],
  ['&'],
  ['+', '-'],
  ['*', '/', '%'],
];

class Parser {
  needs = 0;
  #at = 0;
  #depth = 0;

  constructor(
    private readonly parts: readonly Part[],
    private readonly naming: Naming,
  ) {}

  whole(): Evaluate {
    const evaluate = this.#level(0);
    if (this.#part.kind !== 'end') this.#unexpected();
    return evaluate;
  }

  get #part(): Part {
    return this.parts[this.#at] ?? { kind: 'end', text: 'its end', at: 0 };
  }

  #unexpected(): never {
    throw new Error(`The condition is not understood at ${this.#shown()}.`);
  }

  #shown(): string {
    const { kind, text } = this.#part;
    return kind === 'end' ? text : `“${text}”`;
  }

  #level(level: number): Evaluate {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#level(level + 1);
    for (;;) {
      const { kind, text } = this.#part;
      if (kind !== 'sign' || !operators.includes(text)) return left;
      this.#at++;
      left =
        text === '=~' ? matching(left, this.#glob()) : binary(text, left, this.#level(level + 1));
    }
  }

  /** The right side of =~ is read once, so it must stand there as it is. */
  #glob(): Glob {
    const { kind, text } = this.#part;
    if (kind !== 'string') throw new Error('After =~ stands a pattern in quotes.');
    this.#at++;
    return compileGlob(text);
  }

  #unary(): Evaluate {
    const { kind, text } = this.#part;
    if (kind !== 'sign' || (text !== '!' && text !== '-')) return this.#primary();
    this.#at++;
    this.#deeper();
    const operand = this.#unary();
    this.#depth--;
    if (text === '!') return (facts) => !isTrue(operand(facts));
    return (facts) => {
      const value = operand(facts);
      return typeof value === 'bigint' ? -value : null;
    };
  }

  #primary(): Evaluate {
    const { kind, text } = this.#part;
    if (kind === 'number') {
      this.#at++;
      const value = BigInt(text);
      return () => value;
    }
    if (kind === 'string') {
      this.#at++;
      return () => text;
    }
    if (kind === 'word') {
      this.#at++;
      return this.#word(text);
    }
    if (text !== '(' || kind !== 'sign') this.#unexpected();
    this.#at++;
    this.#deeper();
    const inner = this.#level(0);
    this.#depth--;
    if (this.#part.text !== ')' || this.#part.kind !== 'sign') this.#unexpected();
    this.#at++;
    return inner;
  }

  #word(word: string): Evaluate {
    if (word === 'true' || word === 'false') return () => word === 'true';
    if (word === 'null') return () => null;
    const variable = Object.hasOwn(VARIABLES, word) ? VARIABLES[word] : undefined;
    if (variable === undefined) {
      const known = Object.keys(VARIABLES).join(', ');
      throw new Error(`“${word}” is nothing that a condition can speak of; there are ${known}.`);
    }
    this.needs |= variable.needs;
    const { naming } = this;
    return (facts) => variable.read(facts, naming);
  }

  #deeper(): void {
    if (++this.#depth > DEEPEST) throw new Error('The condition is nested too deeply.');
  }
}

function matching(left: Evaluate, glob: Glob): Evaluate {
  return (facts) => {
    const value = left(facts);
    return typeof value === 'string' && glob.matches(value);
  };
}

function binary(sign: string, left: Evaluate, right: Evaluate): Evaluate {
  switch (sign) {
    case '||':
      return (facts) => isTrue(left(facts)) || isTrue(right(facts));
    case '&&':
      return (facts) => isTrue(left(facts)) && isTrue(right(facts));
    case '==':
      return (facts) => left(facts) === right(facts);
    case '!=':
      return (facts) => left(facts) !== right(facts);
    case '<':
    case '<=':
    case '>':
    case '>=':
      return (facts) => compared(sign, left(facts), right(facts));
    default:
      return (facts) => calculated(sign, left(facts), right(facts));
  }
}

function compared(sign: '<' | '<=' | '>' | '>=', a: Value, b: Value): Value {
  if (typeof a === 'bigint' && typeof b === 'bigint') return inOrder(sign, a, b);
  return typeof a === 'string' && typeof b === 'string' ? inOrder(sign, a, b) : null;
}

function inOrder<T extends bigint | string>(sign: '<' | '<=' | '>' | '>=', a: T, b: T): boolean {
  switch (sign) {
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
  }
}

function calculated(sign: string, a: Value, b: Value): Value {
  if (sign === '+' && typeof a === 'string' && typeof b === 'string') return a + b;
  if (typeof a !== 'bigint' || typeof b !== 'bigint') return null;
  switch (sign) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return b === 0n ? null : a / b;
    case '%':
      return b === 0n ? null : a % b;
    case '&':
      return a & b;
    default:
      return a | b;
  }
}
