/** What a client may unfold: values have references, which are good until everything goes on. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import type { Children, Shown } from './shown';

export class Unfolding {
  /** By reference; references begin at 1. */
  #children: Children[] = [];
  /** What a data breakpoint on a variable would wait for, by reference and name. */
  readonly #watches = new Map<string, Shown>();

  scope(name: string, children: Children, expensive: boolean): DebugProtocol.Scope {
    return { name, expensive, ...this.#reference(children) };
  }

  /** @param parent the reference that leads to it, 0 for none */
  variable(parent: number, shown: Shown): DebugProtocol.Variable {
    const { name, value, evaluateName, children, watch } = shown;
    if (watch !== undefined) this.#watches.set(`${parent} ${name}`, shown);
    return {
      name,
      value,
      ...(evaluateName === undefined ? {} : { evaluateName }),
      ...(children === undefined ? { variablesReference: 0 } : this.#reference(children)),
    };
  }

  async variables({
    variablesReference,
    filter,
    start = 0,
    count = 0,
  }: DebugProtocol.VariablesArguments): Promise<DebugProtocol.Variable[]> {
    const children = this.#children[variablesReference - 1];
    if (children === undefined) return [];
    const indexed = children.kind === 'indexed';
    if (filter !== undefined && (filter === 'indexed') !== indexed) return [];
    const shown = indexed ? await children.load(start, count) : await children.load();
    return shown.map((one) => this.variable(variablesReference, one));
  }

  /** A value that was shown and can be watched. */
  watched(parent: number, name: string): Shown | undefined {
    return this.#watches.get(`${parent} ${name}`);
  }

  clear(): void {
    this.#children = [];
    this.#watches.clear();
  }

  #reference(children: Children): { variablesReference: number; indexedVariables?: number } {
    const variablesReference = this.#children.push(children);
    return children.kind === 'indexed'
      ? { variablesReference, indexedVariables: children.count }
      : { variablesReference };
  }
}
