/**
 * A lookup rule as a text to step through: what the daemon does with a request, from its receipt to
 * its reply, one line for each point at which a request can be held. The text is made from the rule,
 * so that the lines of a rule that asks its tables in another order stand in another order.
 */

import type { LookupRuleName } from '../tables/lookupRule';
import { LOOKUP_RULE_NAMES, LOOKUP_RULES } from '../tables/lookupRule';
import type { Decision, StopPoint } from '../tables/stops';

/** The functions of the text, which are the frames of a stack. */
export type RoutineName = 'serve' | 'lookup' | 'decide' | 'claim' | 'insert' | 'forget';

/** How far a request has come. */
export interface Place {
  readonly point: StopPoint;
  /** Of `fallback`: whether the entry found by its ids is believed. */
  readonly accepted: boolean | null;
  /** Whether an entry of inodes_by_handle answers. */
  readonly byHandle: boolean;
}

export interface Frame {
  readonly routine: RoutineName;
  /** From 1. */
  readonly line: number;
}

export interface RuleText {
  readonly rule: LookupRuleName;
  readonly text: string;
  /** The frames at a point, the innermost first. */
  frames(place: Place): readonly Frame[];
  /** The lines at which a breakpoint can stand, in order. */
  readonly stops: readonly { readonly line: number; readonly decision: Decision }[];
  /** The line at which a breakpoint stands that was wanted at another one. */
  stopAt(line: number): { readonly line: number; readonly decision: Decision } | undefined;
}

/** The ending of a rule text's name; VS Code knows the language by it. */
export const RULE_TEXT_EXTENSION = '.lookup';
/** In VS Code rule texts are documents of this scheme. */
export const RULE_TEXT_SCHEME = 'virtiofsd';

export function ruleTextName(rule: LookupRuleName): string {
  return `${rule}${RULE_TEXT_EXTENSION}`;
}

export function ruleTextUri(rule: LookupRuleName): string {
  return `${RULE_TEXT_SCHEME}:/lookup-rule/${ruleTextName(rule)}`;
}

/** The rule of a document or file of this name. */
export function ruleOfPath(path: string): LookupRuleName | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return LOOKUP_RULE_NAMES.find((rule) => ruleTextName(rule) === name);
}

/** Lines that call another routine: where a frame stands while the called one is at work. */
type Call = 'lookup' | 'decide' | 'claim by handle' | 'claim by ids' | 'insert' | 'forget';

class Lines {
  readonly lines: string[] = [];
  readonly stops: { line: number; decision: Decision }[] = [];
  readonly calls = new Map<Call, number>();

  /** Appends lines that nobody stops at. */
  add(...lines: readonly string[]): this {
    this.lines.push(...lines);
    return this;
  }

  /** A line that is about to run at this point. */
  at(decision: Decision, line: string): this {
    this.lines.push(line);
    this.stops.push({ line: this.lines.length, decision });
    return this;
  }

  /** The line just added calls a routine. */
  calling(call: Call): this {
    this.calls.set(call, this.lines.length);
    return this;
  }
}

/** When an entry that inodes_by_ids names is believed, in the text's words. */
const CONDITIONS: { readonly [R in LookupRuleName]: { condition: string; why: string[] } } = {
  'handle-then-fd': {
    condition: 'kind(byIds) == file',
    why: [
      '# An entry that holds a descriptor pins its inode: its',
      '# number cannot have been given away. One that holds only a',
      '# handle pins nothing; its number may be another file’s by now.',
    ],
  },
  strict: {
    condition: 'handle == none and kind(byIds) == file',
    why: ['# A lookup that has a handle is answered by handles alone.'],
  },
  'ids-first': {
    condition: 'true',
    why: [
      '# Whatever the entry holds: a number that was given away',
      '# answers for another file (H1).',
    ],
  },
  v2: {
    condition: 'handle == none or kind(byIds) != handle',
    why: [
      '# The flaw of the second version: without a handle to',
      '# compare, an entry that pins nothing is believed (H13).',
    ],
  },
  'ids-only': {
    condition: 'true',
    why: ['# There is nothing else to go by; what is asked for may be', '# another file (H11).'],
  },
};

export function ruleText(rule: LookupRuleName): RuleText {
  const { summary, byHandle } = LOOKUP_RULES[rule];
  const lines = new Lines();
  lines.add(
    `# The lookup rule “${rule}”:`,
    ...wrapped(summary),
    '#',
    '# The highlighted line is about to run. A breakpoint on a line',
    '# stops every request that comes to it; its condition can make',
    '# it fewer: name == "f", nlink > 1, path =~ "src/**".',
    '# In the Debug Console: node 3, ids 12/7:0/74, handle 0c00…,',
    '# path f, or any expression.',
    '',
  );
  addServe(lines);
  addLookup(lines);
  addDecide(lines, rule, byHandle);
  addEntries(lines, byHandle !== 'never');
  addForget(lines, byHandle !== 'never');
  return new Text(rule, lines);
}

function addServe(lines: Lines): void {
  lines
    .add('serve(op, unique, node):', '    # A request of the guest has been received and checked.')
    .at('request', '    answer = work(op)')
    .add('    # LOOKUP, CREATE, READDIRPLUS, …: for each name')
    .add('        lookup(parent, name)')
    .calling('lookup')
    .add('    # FORGET, BATCH_FORGET: for each node')
    .add('        forget(node, count)')
    .calling('forget')
    .add('    # The guest waits until here.')
    .at('reply', '    reply(answer or errno)')
    .add('');
}

function addLookup(lines: Lines): void {
  lines
    .add('lookup(parent, name):', '    # The directory is an entry of the tables.')
    .at('parent', '    fd = openat2(parent, name, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT)')
    .add(
      '    # ids = inode number / device / mount id. The number is',
      '    # given away again once the inode is gone, unless something',
      '    # pins it.',
    )
    .at('opened', '    ids, mode, nlink, btime = statx(fd)')
    .add('    # The handle has a generation: it is never given away again.')
    .at('identified', '    handle = name_to_handle_at(fd)')
    .add(
      '    # EOPNOTSUPP, EOVERFLOW: this file system has none; fd is',
      '    # kept instead. Any other errno (ENOMEM, …) is what the guest',
      '    # is told.',
    )
    .at('handle', '    if handleErrno not in (0, EOPNOTSUPP, EOVERFLOW): return handleErrno')
    .add('    return decide(ids, handle)')
    .calling('decide')
    .add('');
}

function addDecide(lines: Lines, rule: LookupRuleName, byHandle: 'first' | 'second' | 'never') {
  lines.add('decide(ids, handle):');
  if (byHandle === 'first') addByHandle(lines);
  addByIds(lines, rule);
  if (byHandle === 'second') addByHandle(lines);
  lines
    .add('    # Nobody knows it: the guest gets a new node id.')
    .add('    return insert(ids, handle)')
    .calling('insert')
    .add('');
}

function addByHandle(lines: Lines): void {
  lines
    .add('    if handle != none:')
    .add('        byHandle = inodes_by_handle[handle]')
    .at('by_handle', '        if byHandle != none:')
    .add('            return claim(byHandle)')
    .calling('claim by handle');
}

function addByIds(lines: Lines, rule: LookupRuleName): void {
  const { condition, why } = CONDITIONS[rule];
  lines
    .add('    byIds = inodes_by_ids[ids]')
    .at('by_ids', '    if byIds != none:')
    .add(...why.map((line) => `        ${line}`))
    .add(`        if ${condition}:`)
    .at('fallback_accepted', '            return claim(byIds)')
    .calling('claim by ids');
  if (condition === 'true') return;
  lines
    .add('        else:')
    .at('fallback_rejected', '            byIds = none  # the insert takes its key over');
}

function addEntries(lines: Lines, handles: boolean): void {
  lines
    .add('claim(entry):', '    lookups(entry) += 1')
    .at('claimed', '    return entry')
    .add('')
    .add('insert(ids, handle):')
    .add('    # With a handle the entry holds nothing open; without one it keeps fd.')
    .add('    entry = new node, lookups = 1')
    .add('    # A key that another entry owns changes its owner (H7).')
    .add('    inodes_by_ids[ids] = entry');
  if (handles) lines.add('    if handle != none: inodes_by_handle[handle] = entry');
  lines.at('inserted', '    return entry').add('');
}

function addForget(lines: Lines, handles: boolean): void {
  lines
    .add('forget(node, count):')
    .at('counted', '    lookups(node) -= count')
    .add('    if lookups(node) > 0: return')
    .add('    remove(node)')
    .add(
      '    # The keys go along, without a look at who owns them by now',
      '    # (H8). Entry and keys go in one step: here both have gone.',
    )
    .at('removed', `    delete inodes_by_ids[ids]${handles ? ', inodes_by_handle[handle]' : ''}`)
    .at('keys_removed', '    return');
}

/** Comment lines that fit beside a Key Map. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of `${text}.`.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length > 60) lines.push(`# ${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

class Text implements RuleText {
  readonly text: string;
  readonly stops: readonly { readonly line: number; readonly decision: Decision }[];
  readonly #calls: ReadonlyMap<Call, number>;

  constructor(
    readonly rule: LookupRuleName,
    { lines, stops, calls }: Lines,
  ) {
    this.text = `${lines.join('\n')}\n`;
    this.stops = stops;
    this.#calls = calls;
  }

  stopAt(line: number): { readonly line: number; readonly decision: Decision } | undefined {
    return this.stops.find((stop) => stop.line >= line);
  }

  frames({ point, accepted, byHandle }: Place): readonly Frame[] {
    const serve = (call: Call): Frame => ({ routine: 'serve', line: this.#call(call) });
    const lookup = { routine: 'lookup', line: this.#call('decide') } as const;
    const decide = (call: Call): Frame => ({ routine: 'decide', line: this.#call(call) });
    switch (point) {
      case 'request':
      case 'reply':
        return [{ routine: 'serve', line: this.#line(point) }];
      case 'parent':
      case 'opened':
      case 'identified':
      case 'handle':
        return [{ routine: 'lookup', line: this.#line(point) }, serve('lookup')];
      case 'by_handle':
      case 'by_ids':
        return [{ routine: 'decide', line: this.#line(point) }, lookup, serve('lookup')];
      case 'fallback': {
        const line = this.#line(accepted === true ? 'fallback_accepted' : 'fallback_rejected');
        return [{ routine: 'decide', line }, lookup, serve('lookup')];
      }
      case 'claimed': {
        const caller = decide(byHandle ? 'claim by handle' : 'claim by ids');
        return [{ routine: 'claim', line: this.#line(point) }, caller, lookup, serve('lookup')];
      }
      case 'inserted': {
        const caller = decide('insert');
        return [{ routine: 'insert', line: this.#line(point) }, caller, lookup, serve('lookup')];
      }
      case 'counted':
      case 'removed':
      case 'keys_removed':
        return [{ routine: 'forget', line: this.#line(point) }, serve('forget')];
    }
  }

  #line(decision: Decision): number {
    return this.stops.find((stop) => stop.decision === decision)?.line ?? 1;
  }

  #call(call: Call): number {
    return this.#calls.get(call) ?? 1;
  }
}
