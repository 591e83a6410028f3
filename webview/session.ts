/** One connection after the other to one daemon: greeting, watching, asking. */

import { InspectorClient, InspectorError } from '../daemon/protocol/client';
import type { Overview } from '../daemon/protocol/client';
import type { ConnectionState } from '../daemon/protocol/hostMessages';
import type { Target } from '../daemon/protocol/json';
import type { BudgetJson } from '../daemon/protocol/budget';
import type { LanesRequest, LanesWindow } from '../daemon/protocol/lanes';
import type { MapRequest, MapWindow, Status } from '../daemon/protocol/map';
import type { EntryDetail } from '../daemon/protocol/rpc';
import type { TourState } from '../daemon/protocol/tour';
import type { WhyJson, WhySubject } from '../daemon/protocol/why';

export type Phase =
  | { readonly at: 'connecting'; readonly message: string }
  | { readonly at: 'open'; readonly target: Target }
  | { readonly at: 'ended'; readonly message: string };

export interface SessionListener {
  phase(phase: Phase): void;
  /** @param asked the request that it answers; undefined when the daemon sent it by itself */
  window(window: MapWindow, asked: MapRequest | undefined): void;
  /** @param asked false when the daemon sent it by itself */
  lanes(window: LanesWindow, asked: boolean): void;
  budget(budget: BudgetJson): void;
  status(status: Status): void;
  /** Somebody has gone to another step of the tour. */
  tourStep(step: number): void;
}

const CLIENT_NAME = 'virtiofsd Inspector Key Map';

export class Session {
  #client: InspectorClient | undefined;
  #open = false;
  #wanted: MapRequest | undefined;
  #asking = false;
  #wantedLanes: LanesRequest | null = null;
  #lanesAsked: LanesRequest | null = null;
  #askingLanes = false;
  #wantsBudget = false;

  constructor(
    private readonly send: (text: string) => void,
    private readonly listener: SessionListener,
  ) {}

  /** The channel's state changed; `open` starts a new conversation. */
  connection(state: ConnectionState, message: string): void {
    this.#drop(message);
    switch (state) {
      case 'connecting':
        this.listener.phase({ at: 'connecting', message });
        return;
      case 'ended':
        this.listener.phase({ at: 'ended', message });
        return;
      case 'open':
        this.#converse(new InspectorClient(this.send));
        return;
    }
  }

  receiveText(text: string): void {
    const client = this.#client;
    if (client === undefined) return;
    try {
      client.receiveText(text);
    } catch (error) {
      this.#fail(client, error);
    }
  }

  receiveBinary(bytes: Uint8Array): void {
    this.#client?.receiveBinary(bytes);
  }

  /** Says which window is looked at; of requests that come faster than answers the last counts. */
  watch(request: MapRequest): void {
    this.#wanted = request;
    this.#ask();
  }

  /** The same for the lanes; null: nobody looks at them any more. */
  watchLanes(request: LanesRequest | null): void {
    this.#wantedLanes = request;
    this.#askForLanes();
  }

  /** Says whether somebody looks at mounts and budget. */
  watchBudget(wanted: boolean): void {
    if (wanted === this.#wantsBudget) return;
    this.#wantsBudget = wanted;
    this.#askForBudget();
  }

  /** @throws InspectorError */
  async overview(from: number, to: number, cells: number): Promise<Overview> {
    return this.#conversation().overview(from, to, cells);
  }

  /** @throws InspectorError, with the code `unknownEntry` when the entry is gone */
  async entry(nodeid: string): Promise<EntryDetail> {
    return this.#conversation().call('entry', { nodeid });
  }

  /** @throws InspectorError, with the code `unknownEntry` when there is nothing to explain */
  async why(about: WhySubject): Promise<WhyJson> {
    return this.#conversation().call('why', { about });
  }

  /** The entry in a row of the tables. @throws InspectorError */
  async nodeidOfRow(row: number): Promise<string | null> {
    return (await this.#conversation().call('row', { row })).nodeid;
  }

  /** Null: a recording without steps. @throws InspectorError, also for a target that is no recording */
  async tour(): Promise<TourState | null> {
    return this.#conversation().call('tour.state', {});
  }

  /** @throws InspectorError */
  async goTo(step: number): Promise<TourState> {
    return this.#conversation().call('tour.go', { step });
  }

  get isOpen(): boolean {
    return this.#open;
  }

  #conversation(): InspectorClient {
    if (this.#client === undefined || !this.#open) {
      throw new InspectorError('There is no connection to the daemon.', 0);
    }
    return this.#client;
  }

  #converse(client: InspectorClient): void {
    this.#client = client;
    client.on('map', (window) => this.listener.window(window, undefined));
    client.on('lanes', (window) => {
      if (this.#wantedLanes !== null) this.listener.lanes(window, false);
    });
    client.on('budget', (budget) => this.listener.budget(budget));
    client.on('status', (status) => this.listener.status(status));
    client.on('tour', ({ step }) => this.listener.tourStep(step));
    const begin = async (): Promise<void> => {
      const { target } = await client.hello(CLIENT_NAME);
      if (client !== this.#client) return;
      this.#open = true;
      this.listener.phase({ at: 'open', target });
      this.#ask();
      this.#askForLanes();
      if (this.#wantsBudget) this.#askForBudget();
      const status = await client.call('status.watch', {});
      if (client === this.#client) this.listener.status(status);
    };
    begin().catch((error: unknown) => this.#fail(client, error));
  }

  #ask(): void {
    const client = this.#client;
    const request = this.#wanted;
    if (client === undefined || !this.#open || this.#asking || request === undefined) return;
    this.#asking = true;
    this.#wanted = undefined;
    client
      .call('map.watch', request)
      .then((window) => {
        if (client !== this.#client) return;
        this.#asking = false;
        this.listener.window(window, request);
        this.#ask();
      })
      .catch((error: unknown) => this.#fail(client, error));
  }

  #askForLanes(): void {
    const client = this.#client;
    const request = this.#wantedLanes;
    if (client === undefined || !this.#open || this.#askingLanes) return;
    if (request === this.#lanesAsked) return;
    this.#askingLanes = true;
    this.#lanesAsked = request;
    const answer =
      request === null
        ? client.call('lanes.stop', {}).then(() => undefined)
        : client.call('lanes.watch', request);
    answer
      .then((window) => {
        if (client !== this.#client) return;
        this.#askingLanes = false;
        if (window !== undefined && this.#wantedLanes !== null) this.listener.lanes(window, true);
        this.#askForLanes();
      })
      .catch((error: unknown) => this.#fail(client, error));
  }

  #askForBudget(): void {
    const client = this.#client;
    if (client === undefined || !this.#open) return;
    const answer = this.#wantsBudget
      ? client.call('budget.watch', {}).then((budget) => this.listener.budget(budget))
      : client.call('budget.stop', {});
    answer.catch((error: unknown) => this.#fail(client, error));
  }

  /** A conversation that went wrong is over; what the user can do is to connect again. */
  #fail(client: InspectorClient, error: unknown): void {
    if (client !== this.#client) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#drop(message);
    this.listener.phase({ at: 'ended', message });
  }

  #drop(reason: string): void {
    const client = this.#client;
    this.#client = undefined;
    this.#open = false;
    this.#asking = false;
    this.#askingLanes = false;
    this.#lanesAsked = null;
    client?.end(reason);
  }
}
