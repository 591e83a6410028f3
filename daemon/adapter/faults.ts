/** The faults of a session: what was made to fail, and how often it has. */

import type { InspectorClient } from '../protocol/client';
import type { FaultJson, FaultStateJson } from '../protocol/debug';
import { faultText, parseFault } from '../protocol/faultText';

type NewFault = Omit<FaultJson, 'id'>;

export class Faults {
  #list: readonly FaultStateJson[] = [];
  #nextId = 1;

  /** @param tell they have changed */
  constructor(private readonly tell: (faults: readonly FaultStateJson[]) => void) {}

  get list(): readonly FaultStateJson[] {
    return this.#list;
  }

  /** In the Debug Console's words. */
  get text(): string {
    if (this.#list.length === 0) return 'Nothing is made to fail.';
    return this.#list
      .map((fault) => `${fault.id}  ${faultText(fault)}${fault.usedUp ? ' (used up)' : ''}`)
      .join('\n');
  }

  /** Makes more calls fail. Those that are used up are forgotten. */
  async add(client: InspectorClient, faults: readonly NewFault[]): Promise<void> {
    const kept = this.#list.filter(({ usedUp }) => !usedUp).map(withoutState);
    await this.arm(client, [...kept, ...faults.map((fault) => ({ ...fault, id: this.#nextId++ }))]);
  }

  /** Takes back those of these ids, or all. */
  async takeBack(client: InspectorClient, ids: readonly number[] | undefined): Promise<void> {
    const kept = this.#list.filter(
      ({ id, usedUp }) => !usedUp && ids !== undefined && !ids.includes(id),
    );
    await this.arm(client, kept.map(withoutState));
  }

  /**
   * Puts these in the place of all.
   *
   * @throws Error with the daemon's reason when one is refused; the others stay armed
   */
  async arm(client: InspectorClient, faults: readonly FaultJson[]): Promise<void> {
    const answer = await client.call('debug.setFaults', { faults: [...faults] });
    this.set((await client.call('debug.inspect', {})).faults);
    const refused = answer.faults.find(({ armed }) => !armed);
    if (refused !== undefined) throw new Error(refused.message ?? 'The daemon refused the fault.');
  }

  /** The daemon says how it is now. @returns what has struck meanwhile, in sentences */
  struck(faults: readonly FaultStateJson[]): string[] {
    const said = faults.flatMap((fault) => {
      const before = this.#list.find(({ id }) => id === fault.id)?.struck ?? 0;
      if (fault.struck <= before) return [];
      const state = fault.usedUp ? 'used up now' : `so far ${fault.struck} times`;
      return [`Injected: ${fault.call} has failed with ${fault.errno} (${state}).`];
    });
    this.set(faults);
    return said;
  }

  set(faults: readonly FaultStateJson[]): void {
    this.#list = faults;
    this.tell(faults);
  }
}

/** A fault as it was asked for. */
export function withoutState({ struck: _, usedUp: __, ...fault }: FaultStateJson): FaultJson {
  return fault;
}

/**
 * The Debug Console's commands: `inject CALL=ERRNO…`, `faults`, `clear`.
 *
 * @returns what to say, or null when it is none of them
 */
export async function faultCommand(
  client: () => InspectorClient,
  faults: Faults,
  text: string,
): Promise<string | null> {
  const spec = /^inject\s+(\S.*)$/.exec(text)?.[1];
  if (spec !== undefined) {
    const { id: _, ...fault } = parseFault(spec, 0);
    await faults.add(client(), [fault]);
  } else if (text === 'clear') await faults.takeBack(client(), undefined);
  else if (text !== 'faults') return null;
  return faults.text;
}
