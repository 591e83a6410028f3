/**
 * Every breakpoint of a session. A client sends them kind by kind and replaces a kind at a time; the
 * daemon takes all at once, and knows each by a number.
 */

import type { DebugProtocol } from '@vscode/debugprotocol';
import type { InspectorClient } from '../protocol/client';
import type { BreakpointJson } from '../protocol/debug';
import type { Wanted } from '../protocol/breakpointText';
import type { ExceptionFilter } from './breakpoints';

/** `source:PATH` for each document. */
export type Kind = 'function' | 'data' | 'exception' | `source:${string}`;

/** A breakpoint as a client asked for it: in the daemon's words, or why it cannot be. */
export interface Wish {
  readonly wanted: readonly Wanted[] | { readonly refused: string };
  readonly line?: number;
  readonly source?: DebugProtocol.Source;
  readonly filter?: ExceptionFilter;
}

export interface KeptBreakpoint extends Wish {
  readonly kind: Kind;
  readonly parts: readonly BreakpointJson[];
  /** By which the client knows it. */
  readonly id: number;
}

/** @returns what `make` makes, or its error as a refusal */
export function wish(make: () => readonly Wanted[]): Wish['wanted'] {
  try {
    return make();
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) };
  }
}

export class BreakpointBook {
  readonly #kinds = new Map<Kind, readonly KeptBreakpoint[]>();
  #nextId = 1;

  /** Replaces a kind. @returns what the client is told of each */
  async set(
    client: InspectorClient,
    kind: Kind,
    wishes: readonly Wish[],
  ): Promise<DebugProtocol.Breakpoint[]> {
    const kept = wishes.map((one): KeptBreakpoint => {
      const wanted = 'refused' in one.wanted ? [] : one.wanted;
      const parts = wanted.map((part) => ({ ...part, id: this.#nextId++ }));
      return { ...one, kind, parts, id: parts[0]?.id ?? this.#nextId++ };
    });
    this.#kinds.set(kind, kept);
    const refusals = await this.arm(client);
    return kept.map(({ id, wanted, parts, line, source }) => {
      const refused =
        'refused' in wanted
          ? wanted.refused
          : parts.flatMap((part) => refusals.get(part.id) ?? []).at(0);
      return {
        id,
        verified: refused === undefined,
        ...(refused === undefined ? {} : { message: refused }),
        ...(line === undefined ? {} : { line }),
        ...(source === undefined ? {} : { source }),
      };
    });
  }

  /** Tells the daemon all of them. @returns why some are not armed, by number */
  async arm(client: InspectorClient): Promise<ReadonlyMap<number, string>> {
    const breakpoints = this.#all().flatMap(({ parts }) => parts);
    const answer = await client.call('debug.setBreakpoints', { breakpoints });
    return new Map(
      answer.breakpoints
        .filter(({ armed }) => !armed)
        .map(({ id, message }) => [id, message ?? 'The daemon refused it.']),
    );
  }

  /** The breakpoint to which the daemon's number belongs. */
  find(id: number): KeptBreakpoint | undefined {
    return this.#all().find(({ parts }) => parts.some((part) => part.id === id));
  }

  /** Those to which the daemon's numbers belong. */
  findAll(ids: readonly number[]): readonly KeptBreakpoint[] {
    return ids.flatMap((id) => this.find(id) ?? []);
  }

  #all(): readonly KeptBreakpoint[] {
    return [...this.#kinds.values()].flat();
  }
}
