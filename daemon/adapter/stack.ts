/** Where a stopped request is: a stack of frames in the text of the lookup rule in force. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import type { StoppedJson } from '../protocol/debug';
import type { RoutineName, RuleText } from './ruleText';
import { ruleOfPath, ruleTextName, ruleTextUri } from './ruleText';
import { threadOf } from './threads';
import { subject } from './words';

/** At most so many frames a stack; a frame's id is its request's number and its place in it. */
const FRAMES = 8;
/** By which clients ask for the rule's text that have no documents of it. */
const RULE_REFERENCE = 1;

/** The number of a client's first line and column: 0 or 1. */
export interface Origin {
  readonly line: number;
  readonly column: number;
}

export function threadOfFrame(frame: number): number {
  return threadOf(Math.floor(frame / FRAMES));
}

/** The rule's text as a client knows it, with lines counted as the client counts them. */
export class RuleSource {
  readonly source: DebugProtocol.Source;

  /** @param hasDocuments the client has documents of the rules; others ask for the text */
  constructor(
    readonly rule: RuleText,
    hasDocuments: boolean,
    private readonly origin: Origin,
  ) {
    const name = ruleTextName(rule.rule);
    this.source = hasDocuments
      ? { name, path: ruleTextUri(rule.rule) }
      : { name, sourceReference: RULE_REFERENCE, origin: 'virtiofsd Inspector' };
  }

  stackOf(stop: StoppedJson): DebugProtocol.StackFrame[] {
    const { facts } = stop;
    const place = {
      point: stop.point,
      accepted: facts.accepted,
      byHandle: facts.hit === 'handle_hit',
    };
    return this.rule.frames(place).map(({ routine, line }, i) => ({
      id: stop.request * FRAMES + i,
      name: `${routine} ${workOf(routine, stop)}`.trim(),
      source: this.source,
      line: this.toClient(line),
      column: this.origin.column,
    }));
  }

  /** The line at which a breakpoint stands that a client wants at another one. */
  stopAt(line: number): ReturnType<RuleText['stopAt']> {
    return this.rule.stopAt(this.#fromClient(line));
  }

  /** The lines in between at which breakpoints can stand. */
  stopsBetween(line: number, endLine: number): number[] {
    const [from, to] = [this.#fromClient(line), this.#fromClient(endLine)];
    return this.rule.stops
      .filter((stop) => stop.line >= from && stop.line <= to)
      .map((stop) => this.toClient(stop.line));
  }

  /** Why breakpoints in a document cannot be hit, or null. */
  refusalOf({ path, name, sourceReference }: DebugProtocol.Source): string | null {
    if (sourceReference === RULE_REFERENCE) return null;
    const rule = ruleOfPath(path ?? name ?? '');
    if (rule === this.rule.rule) return null;
    return rule === undefined
      ? 'Breakpoints stand in the text of the lookup rule, which is shown at the first stop.'
      : `This daemon follows the rule ${this.rule.rule}; this is the text of ${rule}.`;
  }

  toClient(line: number): number {
    return line - 1 + this.origin.line;
  }

  #fromClient(line: number): number {
    return line + 1 - this.origin.line;
  }
}

/** What a routine is at work on. */
function workOf(routine: RoutineName, stop: StoppedJson): string {
  const { op, point, facts } = stop;
  switch (routine) {
    case 'serve':
      // Further in, the frames above it say the name.
      return point === 'request' || point === 'reply' ? subject(stop) : op;
    case 'lookup':
      return facts.name ?? '';
    case 'decide':
      return '';
    case 'claim':
    case 'insert':
      return `node ${facts.answer ?? '?'}`;
    case 'forget':
      return `node ${facts.forgets?.node ?? '?'}`;
  }
}
